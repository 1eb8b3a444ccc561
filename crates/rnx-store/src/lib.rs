//! Verified blobs by digest, fetching, locks, and where things lie on a host.
