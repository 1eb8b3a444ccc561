//! Names inside an archive: the one check that both the packer and the unpacker apply.

use std::borrow::Borrow;
use std::fmt;
use std::path::Path;
use std::str::FromStr;

/// The longest path in bytes: one less than Linux's `PATH_MAX`, which counts the NUL.
pub const PATH_BYTES_MAX: usize = 4095;
/// The longest component in bytes: Linux's `NAME_MAX`.
pub const COMPONENT_BYTES_MAX: usize = 255;
/// The most components a path may have.
pub const DEPTH_MAX: usize = 64;

/// A relative path inside an archive: `/`-separated, without `.`, `..`, empty components or
/// control characters, and so the same on every system. Sorts by its bytes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TreePath(String);

/// A name that no archive carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    #[error("it is empty, or has an empty component")]
    Empty,
    #[error("it is absolute")]
    Absolute,
    #[error("it has a `.` component")]
    Dot,
    #[error("it has a `..` component")]
    DotDot,
    #[error("it has a NUL or another control character")]
    Control,
    #[error("it is not UTF-8")]
    NotUtf8,
    #[error("a component has more than {COMPONENT_BYTES_MAX} bytes")]
    ComponentTooLong,
    #[error("it has more than {PATH_BYTES_MAX} bytes")]
    TooLong,
    #[error("it has more than {DEPTH_MAX} components")]
    TooDeep,
}

/// A symlink target that no archive carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    #[error("the target is empty")]
    Empty,
    #[error("the target climbs out of the tree")]
    Escapes,
    #[error("the target has a NUL or another control character")]
    Control,
    #[error("the target is not UTF-8")]
    NotUtf8,
    #[error("the target has more than {PATH_BYTES_MAX} bytes")]
    TooLong,
}

impl TreePath {
    /// Checks the bytes of a name.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, PathError> {
        let text = std::str::from_utf8(bytes).map_err(|_invalid| PathError::NotUtf8)?;
        if text.chars().any(char::is_control) {
            return Err(PathError::Control);
        }
        if text.len() > PATH_BYTES_MAX {
            return Err(PathError::TooLong);
        }
        if text.starts_with('/') {
            return Err(PathError::Absolute);
        }
        for (depth, component) in text.split('/').enumerate() {
            match component {
                "" => return Err(PathError::Empty),
                "." => return Err(PathError::Dot),
                ".." => return Err(PathError::DotDot),
                _ if component.len() > COMPONENT_BYTES_MAX => {
                    return Err(PathError::ComponentTooLong);
                }
                _ if depth >= DEPTH_MAX => return Err(PathError::TooDeep),
                _ => {}
            }
        }
        Ok(Self(text.to_owned()))
    }

    /// Returns the path as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the folder the path is in, or nothing at the top.
    pub fn parent(&self) -> Option<Self> {
        self.0.rsplit_once('/').map(|(parent, _)| Self(parent.to_owned()))
    }

    /// Splits the path into its folder, which is empty at the top, and its last component.
    pub fn split(&self) -> (&str, &str) {
        self.0.rsplit_once('/').unwrap_or(("", &self.0))
    }

    /// Checks the target of a symlink that stands at this path.
    ///
    /// An absolute target is kept as it is: it resolves in the root of whoever follows it, and
    /// nothing follows a link while packing or unpacking. A relative one stays inside the tree.
    pub fn check_link(&self, target: &[u8]) -> Result<(), LinkError> {
        let text = std::str::from_utf8(target).map_err(|_invalid| LinkError::NotUtf8)?;
        if text.is_empty() {
            return Err(LinkError::Empty);
        }
        if text.chars().any(char::is_control) {
            return Err(LinkError::Control);
        }
        if text.len() > PATH_BYTES_MAX {
            return Err(LinkError::TooLong);
        }
        if text.starts_with('/') {
            return Ok(());
        }
        let mut depth = self.0.matches('/').count();
        for component in text.split('/') {
            match component {
                "" | "." => {}
                ".." => depth = depth.checked_sub(1).ok_or(LinkError::Escapes)?,
                _ => depth += 1,
            }
        }
        Ok(())
    }
}

impl FromStr for TreePath {
    type Err = PathError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::from_bytes(text.as_bytes())
    }
}

impl fmt::Display for TreePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl AsRef<Path> for TreePath {
    fn as_ref(&self) -> &Path {
        Path::new(&self.0)
    }
}

impl Borrow<str> for TreePath {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl From<TreePath> for String {
    fn from(path: TreePath) -> Self {
        path.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked() {
        let deep = vec!["d"; DEPTH_MAX + 1].join("/");
        let long = vec!["n".repeat(255); 17].join("/");
        let component = "n".repeat(256);
        let cases: [(&[u8], PathError); 15] = [
            (b"", PathError::Empty),
            (b"a//b", PathError::Empty),
            (b"a/", PathError::Empty),
            (b"/a", PathError::Absolute),
            (b"/", PathError::Absolute),
            (b".", PathError::Dot),
            (b"a/./b", PathError::Dot),
            (b"a/..", PathError::DotDot),
            (b"../a", PathError::DotDot),
            (b"a\0b", PathError::Control),
            ("a\u{85}b".as_bytes(), PathError::Control),
            (b"a\xff", PathError::NotUtf8),
            (component.as_bytes(), PathError::ComponentTooLong),
            (long.as_bytes(), PathError::TooLong),
            (deep.as_bytes(), PathError::TooDeep),
        ];
        for (name, error) in cases {
            assert_eq!(TreePath::from_bytes(name), Err(error), "{}", name.escape_ascii());
        }
        for name in ["a", "..a/.b", "ä/ b", &deep[2..], &component[1..]] {
            assert_eq!(name.parse::<TreePath>().unwrap().as_str(), name);
        }
    }

    #[test]
    fn relative_targets_stay_inside() {
        let at: TreePath = "usr/lib/x".parse().unwrap();
        for target in ["y", "../../bin", "../../a/../b", "/etc/x", "/../..", "./y/", "a//b"] {
            assert_eq!(at.check_link(target.as_bytes()), Ok(()), "{target}");
        }
        let cases: [(&[u8], LinkError); 5] = [
            (b"../../../etc", LinkError::Escapes),
            (b"../../a/../../b", LinkError::Escapes),
            (b"", LinkError::Empty),
            (b"a\nb", LinkError::Control),
            (b"\xff", LinkError::NotUtf8),
        ];
        for (target, error) in cases {
            assert_eq!(at.check_link(target), Err(error), "{}", target.escape_ascii());
        }
    }
}
