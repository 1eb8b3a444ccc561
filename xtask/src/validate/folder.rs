//! Rules between a manifest and what stands beside it. Pure: names in, findings out.

use rnx_spec::Platform;
use rnx_spec::bases::{Bases, ChooseBaseError};
use rnx_spec::diagnostic::{Code, Diagnostic, Severity, Span, codes};
use rnx_spec::manifest::{self, BaseChoice, Manifest};

/// Checks the folder's name and that each platform has a setup script.
pub(super) fn check(
    folder: &str,
    text: &str,
    manifest: &Manifest,
    scripts: &[&str],
) -> Vec<Diagnostic> {
    let mut findings = Vec::new();
    if manifest.name.as_str() != folder {
        let message = format!("the name is `{}`, but the folder is `{folder}`", manifest.name);
        let span = manifest::locate(text, &["name"]);
        let help = "rename the folder or the runtime: people look for one by the other";
        findings.push(warning(codes::NAME_IS_NOT_FOLDER, message, span, help));
    }
    if scripts.is_empty() {
        let message = "this folder has no setup script, so the runtime cannot be built".to_owned();
        let help = "add `setup.sh`, or a `setup-<platform>.sh` for each platform";
        findings.push(warning(codes::NO_SCRIPTS, message, None, help));
        return findings;
    }
    // A dispatcher that stands alone serves every platform by itself.
    if scripts != ["setup.sh"] {
        findings.extend(manifest.platforms.iter().filter_map(|platform| {
            missing_script(text, *platform, manifest.built_as(*platform), scripts)
        }));
    }
    findings
}

fn missing_script(
    text: &str,
    platform: Platform,
    built_as: Platform,
    scripts: &[&str],
) -> Option<Diagnostic> {
    let file = format!("setup-{built_as}.sh");
    if scripts.contains(&file.as_str()) {
        return None;
    }
    let distro = platform.distro.as_str();
    Some(Diagnostic {
        code: codes::PLATFORM_SCRIPT_MISSING,
        severity: Severity::Error,
        message: format!("`{platform}` has no setup script: there is no `{file}`"),
        span: manifest::locate(text, &["platforms", &platform.to_string()]),
        help: Some(format!(
            "add the script, or let another distro's build serve it: `reuse: {{{distro}: …}}`"
        )),
        fix: None,
    })
}

/// Checks that the base that the manifest names exists for each platform.
pub(super) fn check_base(text: &str, manifest: &Manifest, bases: &Bases) -> Option<Diagnostic> {
    if manifest.base == BaseChoice::Default {
        return None;
    }
    let error = manifest.platforms.iter().find_map(|platform| {
        let built_as = manifest.built_as(*platform);
        bases.for_platform(&manifest.base, built_as).err()
    })?;
    let known = bases.bases.keys().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    let help = match &error {
        ChooseBaseError::NoDefault { .. } => "add it to the `defaults` there".to_owned(),
        _ => format!("the bases are {known}"),
    };
    Some(Diagnostic {
        code: codes::BASE_UNKNOWN,
        severity: Severity::Error,
        message: error.to_string(),
        span: manifest::locate(text, &["base"]),
        help: Some(help),
        fix: None,
    })
}

fn warning(code: Code, message: String, span: Option<Span>, help: &str) -> Diagnostic {
    let severity = Severity::Warning;
    Diagnostic { code, severity, message, span, help: Some(help.to_owned()), fix: None }
}
