"""Solves equations, integrates, optimises, transforms and filters with scipy, against what is known."""
import numpy as np
from scipy import fft, integrate, interpolate, linalg, optimize, signal, sparse, spatial, special, stats
from scipy.sparse import linalg as sparse_linalg

random = np.random.default_rng(1)
matrix = random.standard_normal((50, 50)) + 50 * np.eye(50)
wanted = random.standard_normal(50)
np.testing.assert_allclose(linalg.solve(matrix, matrix @ wanted), wanted)
np.testing.assert_allclose(sparse_linalg.spsolve(sparse.csc_matrix(matrix), matrix @ wanted), wanted)
eigenvalue = sparse_linalg.eigsh(sparse.diags(np.arange(1.0, 101)), k=1)[0][0]
np.testing.assert_allclose(eigenvalue, 100)
np.testing.assert_allclose(integrate.quad(lambda x: np.exp(-(x**2)), -np.inf, np.inf)[0], np.sqrt(np.pi))
orbit = integrate.solve_ivp(lambda _, y: [y[1], -y[0]], (0, 2 * np.pi), [1, 0], rtol=1e-9, atol=1e-9)
np.testing.assert_allclose(orbit.y[:, -1], [1, 0], atol=1e-6)
np.testing.assert_allclose(optimize.minimize(optimize.rosen, [0, 0], method="L-BFGS-B").x, [1, 1], atol=1e-4)
np.testing.assert_allclose(fft.ifft(fft.fft(wanted)).real, wanted)
np.testing.assert_allclose(interpolate.CubicSpline([0, 1, 2], [0, 1, 8])(1.0), 1)
np.testing.assert_allclose(signal.sosfiltfilt(signal.butter(2, 0.2, output="sos"), np.ones(100)), 1, atol=1e-6)
np.testing.assert_allclose(special.gamma(5), 24)
np.testing.assert_allclose(stats.norm.cdf(1.959963984540054), 0.975)
assert spatial.ConvexHull([[0, 0], [1, 0], [0, 1], [1, 1], [0.5, 0.5]]).volume == 1
print("solved")
