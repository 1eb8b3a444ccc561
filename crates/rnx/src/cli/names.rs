//! Names of hosts, in a program that has the C library in itself.

/// Keeps the C library to the ways of resolving names that are in it: `/etc/hosts` and DNS.
///
/// What `nsswitch.conf` names besides are libraries of the host. They would be loaded into this program together with the
/// host's own C library, which ends in a crash wherever the two are not of one build (see `__nss_configure_lookup` in
/// glibc's `nss.h`, and "static linking" in its FAQ).
#[cfg(all(target_env = "gnu", target_feature = "crt-static"))]
#[expect(unsafe_code, reason = "a setting of the C library that no crate offers")]
pub(crate) fn resolve_without_libraries_of_the_host() {
    use std::ffi::{c_char, c_int};

    unsafe extern "C" {
        fn __nss_configure_lookup(database: *const c_char, services: *const c_char) -> c_int;
    }
    for (database, services) in [(c"hosts", c"files dns"), (c"passwd", c"files")] {
        // SAFETY: both are strings that end in NUL and live for ever; no other thread runs yet.
        let refused = unsafe { __nss_configure_lookup(database.as_ptr(), services.as_ptr()) };
        assert_eq!(refused, 0, "glibc knows `{database:?}` and `{services:?}`");
    }
}

/// A program that loads the host's C library has it load the rest.
#[cfg(not(all(target_env = "gnu", target_feature = "crt-static")))]
pub(crate) fn resolve_without_libraries_of_the_host() {}
