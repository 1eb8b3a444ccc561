//! The codes `RT04xx`: what stands in the way of a release.

use rnx_spec::diagnostic::codes;

use super::Explanation;

pub(super) const TABLE: &[Explanation] = &[
    Explanation {
        code: codes::TREE_NOT_CLEAN,
        title: "the working tree is not clean",
        text: "A tag names a commit. What is not in it would be missing in the release, although it was there when everything was tried. Commit the files, or put them aside with `git stash --include-untracked`.",
        bad: "",
        good: "",
    },
    Explanation {
        code: codes::NOT_ON_DEFAULT_BRANCH,
        title: "not on the default branch",
        text: "Releases are made from the branch that the remote's `HEAD` names, so that what is released is what everybody has. Merge first, then `git switch` to that branch.",
        bad: "",
        good: "",
    },
    Explanation {
        code: codes::NOT_UP_TO_DATE,
        title: "the branch is not what the remote has",
        text: "A commit that only this clone has would become public through the tag alone; a commit that is missing here would be missing in the release. `git pull --rebase`, then `git push`.",
        bad: "",
        good: "",
    },
    Explanation {
        code: codes::DEFINITION_HAS_FINDINGS,
        title: "the definition has findings",
        text: "For a release, warnings count as well. `cargo xtask validate --strict NAME` shows them.",
        bad: "",
        good: "",
    },
    Explanation {
        code: codes::VERSION_NOT_HIGHER,
        title: "the version is not higher than what is published",
        text: "Who asks for no version gets the highest one, so a release below it would reach nobody, and the number of a published or withdrawn version is never used again. Raise it: `cargo xtask release NAME --bump patch`.",
        bad: "",
        good: "",
    },
    Explanation {
        code: codes::TAG_TAKEN,
        title: "the tag is there already",
        text: "A tag never moves: hosts, caches and people's notes hold what it meant. The answer to a bad release is a higher version, and `cargo xtask yank NAME@VERSION --reason …` for the bad one. If the tag was pushed and its workflow failed, run the workflow again: every step of it can be repeated.",
        bad: "",
        good: "",
    },
    Explanation {
        code: codes::LOCK_NOT_FRESH,
        title: "the lock file is not of this definition",
        text: "`versions.lock` says what a build of this definition installs. It is missing, or the definition changed since it was written. `cargo xtask lock NAME` writes it.",
        bad: "",
        good: "",
    },
];
