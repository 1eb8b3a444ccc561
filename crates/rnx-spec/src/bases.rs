//! `runtimes/bases.yaml`: where the base root filesystems of builds come from.
