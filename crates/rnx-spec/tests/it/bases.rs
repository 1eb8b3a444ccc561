//! `runtimes/bases.yaml`.

use std::collections::BTreeMap;

use rnx_spec::bases::{self, BaseSource};
use rnx_spec::manifest::BaseChoice;
use rnx_spec::{Distro, Platform};

const TEXT: &str = "
bases:
  debian: {debootstrap: {suite: bookworm}}
  image:
    amd64: {oci: {image: example.org/a, digest: 0000000000000000000000000000000000000000000000000000000000000000}}
defaults: {ubuntu-amd64: debian}
";

fn platform(text: &str) -> Platform {
    text.parse().unwrap()
}

#[test]
fn a_platform_gets_the_base_of_the_manifest_or_its_default() {
    let bases = bases::parse(TEXT).value.unwrap();
    let suite = |choice: BaseChoice, name: &str| match bases.for_platform(&choice, platform(name)) {
        Ok((name, BaseSource::Debootstrap { suite, .. })) => format!("{name}: suite {suite}"),
        Ok((name, BaseSource::Oci { image, .. })) => format!("{name}: image {image}"),
        Ok((name, BaseSource::Rootfs { url, .. })) => format!("{name}: rootfs {url}"),
        Err(error) => error.to_string(),
    };
    let named = |name: &str| BaseChoice::Named(name.to_owned());
    let mapped = BaseChoice::PerDistro(BTreeMap::from([(Distro::Rhel, "image".to_owned())]));
    for (choice, name, expected) in [
        (BaseChoice::Default, "ubuntu-amd64", "debian: suite bookworm"),
        (
            BaseChoice::Default,
            "rhel-amd64",
            "`runtimes/bases.yaml` has no default base for `rhel-amd64`",
        ),
        (named("debian"), "amzn-arm64", "debian: suite bookworm"),
        (named("image"), "ubuntu-amd64", "image: image example.org/a"),
        (named("image"), "ubuntu-arm64", "the base `image` has no source for `arm64`"),
        (
            named("x"),
            "ubuntu-arm64",
            "`runtimes/bases.yaml` has no base `x`; it has `debian`, `image`",
        ),
        (mapped.clone(), "rhel-amd64", "image: image example.org/a"),
        (mapped, "ubuntu-amd64", "debian: suite bookworm"),
    ] {
        assert_eq!(suite(choice, name), expected);
    }
}

#[test]
fn faults_are_named() {
    for (text, code, message) in [
        (
            "bases: {a: {}}",
            "RT0303",
            "the base `a` has no source: write `debootstrap`, `rootfs` or `oci`",
        ),
        (
            "bases: {}\ndefaults: {ubuntu-amd64: b}",
            "RT0302",
            "the default of `ubuntu-amd64` is `b`, which is no base here",
        ),
        (
            "bases: {a: {debootstrap: {suite: x}, rootfs: {url: y, sha256: '0000000000000000000000000000000000000000000000000000000000000000'}}}",
            "RT0303",
            "the base `a` has more than one of `debootstrap`, `rootfs` and `oci`",
        ),
    ] {
        let diagnostics = bases::parse(text).diagnostics;
        assert_eq!(diagnostics.len(), 1, "{text}");
        assert_eq!(diagnostics[0].message, message);
        assert_eq!(diagnostics[0].code.to_string(), code);
    }
    for text in
        ["", "bases: {a: {debootstrap: {suites: x}}}", "base: {}", "bases: {a: {b: c}}", "bases: ["]
    {
        let parsed = bases::parse(text);
        assert_eq!(parsed.value, None, "{text}");
        assert_eq!(parsed.diagnostics[0].code.to_string(), "RT0301", "{text}");
    }
}

#[test]
fn the_repository_has_a_base_for_every_platform() {
    let text = include_str!("../../../../runtimes/bases.yaml");
    let bases = bases::parse(text).value.unwrap();
    for platform in Platform::ALL {
        assert_eq!(
            bases.for_platform(&BaseChoice::Default, platform).map(|(name, _)| name),
            Ok("debian-bookworm")
        );
    }
}
