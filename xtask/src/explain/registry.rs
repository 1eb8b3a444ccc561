//! The codes `RT05xx`: what is wrong with a registry.

use rnx_spec::diagnostic::codes;

use super::Explanation;

pub(super) const TABLE: &[Explanation] = &[
    Explanation {
        code: codes::REGISTRY_INVALID,
        title: "the file is no registry",
        text: "It is not JSON, or its top level is not what every reader decodes first: `version` is the string `\"1\"`, `updated_at` an RFC 3339 time, `runtimes` an object. Nobody can install anything from it: take back the last change.",
        bad: "",
        good: "",
    },
    Explanation {
        code: codes::REGISTRY_FORM,
        title: "the registry is not in the written form",
        text: "The same registry is the same bytes, so that two changes never differ in more than what they change: keys sorted by bytes, two spaces, a final newline, no version in the old flat form. `cargo xtask registry check --fix` writes it so.",
        bad: "",
        good: "",
    },
    Explanation {
        code: codes::REGISTRY_ENTRY,
        title: "a member that no reader understands",
        text: "Every member of `runtimes.NAME` is a version object under a plain `X.Y.Z`: no `latest`, no `null`, no text. Old readers decode the whole file into one struct; one member of another kind, a `size` that is no integer, or a platform that is no text makes all of it unreadable for them.",
        bad: "",
        good: "",
    },
    Explanation {
        code: codes::REGISTRY_FIELD_CASE,
        title: "a field that differs from an old one by case alone",
        text: "Old readers match names without regard to case and take the last that matches: `Size` would replace `size`.",
        bad: "",
        good: "",
    },
    Explanation {
        code: codes::REGISTRY_DOWNLOAD,
        title: "`download_url` is not the definition",
        text: "Old readers unpack what it names as a `.tar.gz` with the definition in it. Prebuilt files stand in `artifacts`.",
        bad: "",
        good: "",
    },
    Explanation {
        code: codes::REGISTRY_PARTS,
        title: "the parts of an archive are not the archive",
        text: "The lengths of the parts add up to the archive's, and one part is small enough for a release asset on GitHub.",
        bad: "",
        good: "",
    },
    Explanation {
        code: codes::REGISTRY_BOTH,
        title: "published and withdrawn at once",
        text: "A withdrawn version moves from `runtimes` to `yanked`; readers that know only the first would go on offering it.",
        bad: "",
        good: "",
    },
    Explanation {
        code: codes::REGISTRY_REPLACEMENT,
        title: "a replacement that is not published",
        text: "Whoever asks for a withdrawn version is sent to its replacement, so that one must be there.",
        bad: "",
        good: "",
    },
    Explanation {
        code: codes::PUBLISHED_CHANGED,
        title: "what was published changed",
        text: "`download_url`, `checksum`, `size` and the digests of artifacts are written once: hosts, caches and lock files hold them. Take the change back and release a higher version.",
        bad: "",
        good: "",
    },
    Explanation {
        code: codes::PUBLISHED_GONE,
        title: "a version is gone",
        text: "An entry that is deleted leaves a number that could be used again, with other bytes. A version that must not be used any more is withdrawn: `cargo xtask yank NAME@VERSION --reason …`.",
        bad: "",
        good: "",
    },
];
