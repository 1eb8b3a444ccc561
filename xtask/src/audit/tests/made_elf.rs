//! Builds small ELF files, byte by byte: the tests need no compiler and no other machine.

/// What a made ELF file says.
#[derive(Debug, Clone, Default)]
pub(crate) struct MadeElf {
    pub(crate) machine: Option<u16>,
    pub(crate) interpreter: Option<&'static str>,
    pub(crate) soname: Option<&'static str>,
    pub(crate) needed: Vec<&'static str>,
    pub(crate) rpath: Option<&'static str>,
    pub(crate) runpath: Option<&'static str>,
    /// Library and version.
    pub(crate) needs: Vec<(&'static str, &'static str)>,
    pub(crate) defines: Vec<&'static str>,
}

const BASE: u64 = 0x40_0000;

impl MadeElf {
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut body = Vec::new();
        let body_at = 64 + 3 * 56;
        let interp = self.interpreter.unwrap_or_default();
        body.extend_from_slice(interp.as_bytes());
        body.push(0);
        let mut strings = vec![0];
        let mut tags: Vec<(u64, u64)> = Vec::new();
        for (tag, texts) in [
            (1, self.needed.clone()),
            (14, self.soname.into_iter().collect()),
            (15, self.rpath.into_iter().collect()),
            (29, self.runpath.into_iter().collect()),
        ] {
            for text in texts {
                tags.push((tag, u64::from(intern(&mut strings, text))));
            }
        }
        let verneed = self.verneed(&mut strings);
        let verdef = self.verdef(&mut strings);
        let place = |body: &mut Vec<u8>, bytes: &[u8]| {
            let at = body_at + body.len() as u64;
            body.extend_from_slice(bytes);
            at
        };
        for (tag, count_tag, count, bytes) in [
            (0x6fff_fffe, 0x6fff_ffff, self.needs.len(), verneed),
            (0x6fff_fffc, 0x6fff_fffd, self.defines.len(), verdef),
        ] {
            if count > 0 {
                tags.push((tag, BASE + place(&mut body, &bytes)));
                tags.push((count_tag, count as u64));
            }
        }
        let strings_at = place(&mut body, &strings);
        tags.extend([(5, BASE + strings_at), (10, strings.len() as u64), (0, 0)]);
        let dynamic: Vec<u8> = tags
            .iter()
            .flat_map(|(tag, value)| [tag.to_le_bytes(), value.to_le_bytes()])
            .flatten()
            .collect();
        let dynamic_at = place(&mut body, &dynamic);
        let total = body_at + body.len() as u64;
        let mut out = self.header();
        let has_interp = u32::from(self.interpreter.is_some());
        for (kind, at, len) in [
            (1, 0, total),
            (3 * has_interp, body_at, interp.len() as u64 + 1),
            (2, dynamic_at, dynamic.len() as u64),
        ] {
            out.extend(kind.to_le_bytes());
            out.extend(5_u32.to_le_bytes());
            for value in [at, BASE + at, BASE + at, len, len, 1] {
                out.extend(value.to_le_bytes());
            }
        }
        out.extend(body);
        out
    }

    fn header(&self) -> Vec<u8> {
        let mut out = b"\x7fELF\x02\x01\x01".to_vec();
        out.resize(16, 0);
        out.extend(3_u16.to_le_bytes());
        out.extend(self.machine.unwrap_or(62).to_le_bytes());
        out.extend(1_u32.to_le_bytes());
        for value in [0_u64, 64, 0] {
            out.extend(value.to_le_bytes());
        }
        out.extend(0_u32.to_le_bytes());
        for value in [64_u16, 56, 3, 64, 0, 0] {
            out.extend(value.to_le_bytes());
        }
        out
    }

    fn verneed(&self, strings: &mut Vec<u8>) -> Vec<u8> {
        let mut out = Vec::new();
        for (library, version) in &self.needs {
            let (library, version) = (intern(strings, library), intern(strings, version));
            for half in [1_u16, 1] {
                out.extend(half.to_le_bytes());
            }
            for word in [library, 16, 32, 0] {
                out.extend(word.to_le_bytes());
            }
            out.extend([0_u8; 4]);
            for word in [version, 0] {
                out.extend(word.to_le_bytes());
            }
        }
        out
    }

    fn verdef(&self, strings: &mut Vec<u8>) -> Vec<u8> {
        let mut out = Vec::new();
        for version in &self.defines {
            let version = intern(strings, version);
            for half in [1_u16, 0, 2, 1] {
                out.extend(half.to_le_bytes());
            }
            for word in [0_u32, 20, 28, version, 0] {
                out.extend(word.to_le_bytes());
            }
        }
        out
    }
}

fn intern(strings: &mut Vec<u8>, text: &str) -> u32 {
    let at = u32::try_from(strings.len()).unwrap();
    strings.extend_from_slice(text.as_bytes());
    strings.push(0);
    at
}
