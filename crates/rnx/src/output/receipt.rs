//! What `rnx job run --json` writes when the job has ended.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Serialize;

/// A receipt of a job, in `rnx job run --json`. What does not apply is `null`.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Receipt {
    /// The version of this document.
    pub version: u32,
    pub runtime: ReceiptRuntime,
    pub command: Vec<String>,
    /// In RFC 3339.
    pub started_at: String,
    pub seconds: f64,
    /// As `rnx` exits.
    pub exit_status: u8,
    /// The signal that ended the job.
    pub signal: Option<i32>,
    pub timed_out: bool,
    pub limits: LimitsSet,
    pub used: Used,
    /// `host` or `none`.
    pub network: String,
    /// The GPUs that the job was given, by their names.
    pub gpus: Vec<String>,
}

/// The runtime that a job ran in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ReceiptRuntime {
    pub name: String,
    pub version: String,
    /// The folder of its `runtime.yml`.
    pub path: PathBuf,
}

/// The limits that a job had.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct LimitsSet {
    pub cpus: Option<f64>,
    pub cpu_cores: Option<String>,
    pub memory_bytes: Option<u64>,
    pub processes: Option<u64>,
    pub timeout_seconds: Option<u64>,
}

/// What a job used, and where it was stopped from using more.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Used {
    pub cpu_seconds: f64,
    /// Known where memory is limited.
    pub memory_bytes_max: Option<u64>,
    pub killed_for_memory: Option<u64>,
    pub refused_processes: Option<u64>,
}
