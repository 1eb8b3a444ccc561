//! `runtime.yml`: what is mounted where in a job, read by `rnx` and by Joblet daemons.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The variable of [`RuntimeYml::environment`] that is put before `PATH` instead of being set.
pub const PATH_PREPEND: &str = "PATH_PREPEND";

/// The document at the root of every archive and install.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RuntimeYml {
    pub name: String,
    /// The version, as a string: YAML would read `1.10` as a number.
    pub version: String,
    #[serde(default)]
    pub description: String,
    pub mounts: Vec<Mount>,
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
    #[serde(default)]
    pub requirements: Requirements,
}

/// One mount of a runtime.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Mount {
    /// Relative to the runtime's folder, for example `isolated/usr`.
    pub source: String,
    /// Absolute inside the job, for example `/usr`.
    pub target: String,
    #[serde(default = "default_readonly")]
    pub readonly: bool,
}

/// What a host needs in order to run this build of the runtime.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Requirements {
    #[serde(default)]
    pub architectures: Vec<String>,
}

/// A `runtime.yml` that could not be read.
#[derive(Debug, thiserror::Error)]
#[error("not a valid runtime.yml")]
pub struct ParseRuntimeYmlError(#[from] serde_saphyr::Error);

/// A `runtime.yml` that could not be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot be written as runtime.yml")]
pub struct WriteRuntimeYmlError(#[from] serde_saphyr::ser::Error);

/// Reads a `runtime.yml`. Unknown keys are accepted: daemons add their own.
pub fn parse(text: &str) -> Result<RuntimeYml, ParseRuntimeYmlError> {
    Ok(serde_saphyr::from_str(text)?)
}

/// Returns the JSON Schema of `runtime.yml`.
pub fn schema() -> serde_json::Value {
    schemars::schema_for!(RuntimeYml).to_value()
}

/// Writes a `runtime.yml`; the same document gives the same bytes.
pub fn write(document: &RuntimeYml) -> Result<String, WriteRuntimeYmlError> {
    Ok(serde_saphyr::to_string(document)?)
}

fn default_readonly() -> bool {
    true
}
