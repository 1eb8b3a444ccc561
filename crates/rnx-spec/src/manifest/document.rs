//! The shape of a manifest, for editors and other validators: what `schemas/manifest.schema.json` is made from.
//!
//! Nothing is read through these types, since a reader that stops at the first fault is of no use to authors. That
//! both say the same is a test over `schemas/examples/`.
#![expect(dead_code, reason = "the fields are read by the derived schema only")]

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

/// What an author says about a runtime. Keys that are not listed here are the author's own.
#[derive(Deserialize, JsonSchema)]
#[schemars(title = "Joblet runtime manifest")]
pub(super) struct ManifestDocument {
    /// The runtime's name: the name of its folder.
    #[schemars(
        length(max = 64),
        regex(
            pattern = r"^(?!.*\.\.)(?!.*-(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)$)[a-z0-9]([a-z0-9.-]*[a-z0-9])?$"
        )
    )]
    name: String,
    /// `MAJOR.MINOR.PATCH`
    #[schemars(regex(pattern = r"^(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)$"))]
    version: String,
    /// One line, for lists of runtimes.
    #[schemars(
        length(min = 1, max = 256),
        regex(pattern = r"^(?=.*\S)[^\u0000-\u001f\u007f-\u009f]+\n*$")
    )]
    description: String,
    /// Where the runtime runs.
    #[schemars(length(min = 1), extend("uniqueItems" = true))]
    platforms: Vec<PlatformDocument>,
    /// What is inside, for example `numpy==1.26.2`.
    packages: Option<Vec<String>>,
    /// An SPDX expression, for example `MIT`.
    license: Option<String>,
    #[schemars(regex(pattern = r"^https?://[^/?#\s][^\s]*$"))]
    homepage: Option<String>,
    /// A name in `runtimes/bases.yaml`, for all distros or by distro.
    base: Option<BaseDocument>,
    /// Distros that are served by another distro's build of the same architecture.
    reuse: Option<ByDistro<DistroDocument>>,
    /// What is fetched and verified before the build, read-only in `/joblet/sources`.
    sources: Option<Vec<SourceDocument>>,
    /// The environment of jobs, where the setup script writes none.
    #[schemars(extend("propertyNames" = {"pattern": "^[A-Za-z_][A-Za-z0-9_]*$"}))]
    environment: Option<BTreeMap<String, String>>,
    /// Commands that are run inside the finished runtime.
    tests: Option<Vec<TestDocument>>,
    limits: Option<LimitsDocument>,
    network: Option<NetworkDocument>,
    /// Packages whose versions differ between the platforms, each with the reason.
    #[schemars(extend("additionalProperties" = {"type": "string", "pattern": "\\S"}))]
    parity: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(inline)]
enum PlatformDocument {
    UbuntuAmd64,
    UbuntuArm64,
    RhelAmd64,
    RhelArm64,
    AmznAmd64,
    AmznArm64,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
enum DistroDocument {
    Ubuntu,
    Rhel,
    Amzn,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline)]
struct ByDistro<T> {
    ubuntu: Option<T>,
    rhel: Option<T>,
    amzn: Option<T>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(inline)]
enum BaseDocument {
    Named(BaseName),
    ByDistro(ByDistro<BaseName>),
}

#[derive(Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(inline)]
struct BaseName(#[schemars(regex(pattern = r"^[a-z0-9._-]+$"))] String);

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline)]
struct SourceDocument {
    #[schemars(regex(pattern = r"^(https?://[^/?#\s]|file:///)[^\s]*$"))]
    url: String,
    /// What `sha256sum` prints for the file.
    #[schemars(regex(pattern = r"^(sha256:)?[0-9a-fA-F]{64}$"))]
    sha256: String,
    /// How many bytes the file has; a server that sends more is not listened to.
    #[schemars(range(min = 1))]
    size_bytes: Option<u64>,
    /// The file's name in `/joblet/sources`; the last part of the URL by default.
    #[schemars(regex(pattern = r"^(?!\.\.?$)[^/\u0000-\u001f\u007f-\u009f]+$"))]
    file: Option<String>,
    /// The platforms that need it; all by default.
    #[schemars(length(min = 1), extend("uniqueItems" = true))]
    platforms: Option<Vec<PlatformDocument>>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline)]
struct TestDocument {
    #[schemars(regex(pattern = r"^(?=.*\S)[^\u0000-\u001f\u007f-\u009f]+$"))]
    name: String,
    /// The command and its arguments; no shell stands between.
    #[schemars(length(min = 1), extend("prefixItems" = [{"minLength": 1}]))]
    run: Vec<String>,
    /// A regular expression that standard output must match.
    stdout: Option<String>,
    /// The expected exit status; 0 by default.
    #[schemars(range(min = 0, max = 255))]
    status: Option<u64>,
    needs: Option<NeedDocument>,
    /// How many seconds the test may take; 300 by default.
    #[schemars(range(min = 1, max = 86_400))]
    timeout_s: Option<u64>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
enum NeedDocument {
    Gpu,
}

/// Budgets; over budget fails the build.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline)]
struct LimitsDocument {
    unpacked: Option<SizeDocument>,
    archive: Option<SizeDocument>,
    /// How many minutes the setup script may take; 30 by default.
    #[schemars(range(min = 1, max = 1440))]
    build_minutes: Option<u64>,
    /// How much disk the build may take while the setup script runs; 32 GiB by default.
    build_disk: Option<SizeDocument>,
    /// How many processes and threads the setup script may have at once; 8192 by default.
    #[schemars(range(min = 1, max = 1_000_000))]
    build_processes: Option<u64>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(inline)]
enum SizeDocument {
    Bytes(#[schemars(range(min = 1))] u64),
    /// For example `300 MiB`.
    Text(
        #[schemars(regex(pattern = r"^0*[1-9][0-9]*\s*(B|kB|KB|KiB|MB|MiB|GB|GiB|TB|TiB)?$"))]
        String,
    ),
}

/// The network that setup scripts see.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
enum NetworkDocument {
    Host,
    None,
}

/// Returns the schema. An absent key is left out in YAML, never written as null.
pub(super) fn schema() -> Value {
    let mut schema = schemars::schema_for!(ManifestDocument).to_value();
    without_null(&mut schema);
    schema
}

fn without_null(value: &mut Value) {
    match value {
        Value::Object(map) => {
            if let Some(Value::Array(types)) = map.get_mut("type") {
                types.retain(|name| name != "null");
                if let [only] = &types[..] {
                    let only = only.clone();
                    map.insert("type".to_owned(), only);
                }
            }
            if let Some(Value::Array(values)) = map.get_mut("enum") {
                values.retain(|value| !value.is_null());
            }
            if let Some(Value::Array(choices)) = map.get_mut("anyOf") {
                choices.retain(|choice| choice["type"] != "null");
            }
            map.values_mut().for_each(without_null);
        }
        Value::Array(items) => items.iter_mut().for_each(without_null),
        _ => {}
    }
}
