"""Fits a random forest on the digits that scikit-learn brings, on all processors, and scores it on those held back."""
import numpy as np
from sklearn.datasets import load_digits
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

features, labels = load_digits(return_X_y=True)
assert features.shape == (1797, 64), features.shape
train_x, test_x, train_y, test_y = train_test_split(features, labels, random_state=1)
model = make_pipeline(StandardScaler(), RandomForestClassifier(n_estimators=100, n_jobs=-1, random_state=1))
model.fit(train_x, train_y)
score = model.score(test_x, test_y)
# A forest that has seen shuffled labels guesses: the score above is not a constant of the data.
guesses = model.fit(train_x, np.random.default_rng(1).permutation(train_y)).score(test_x, test_y)
assert guesses < 0.3, guesses
print(f"score {score:.3f}")
