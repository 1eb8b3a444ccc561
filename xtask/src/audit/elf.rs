//! What the dynamic linker reads of an ELF file: bytes in, [`ElfInfo`] out.
//!
//! Only what a program header or the dynamic section names is read, because that is all that the
//! kernel and `ld.so` look at; sections may be stripped. Every number is checked against a limit,
//! so a broken or hostile file is an error value.

use goblin::container::{Container, Ctx, Endian};
use goblin::elf::program_header::{PT_DYNAMIC, PT_INTERP, PT_LOAD, ProgramHeader};
use goblin::elf::{Elf, dynamic, header};
use rnx_spec::Arch;

const HEADER_BYTES: usize = 64;
const DYNAMIC_BYTES_MAX: u64 = 1024 * 1024;
const TEXT_BYTES_MAX: usize = 16 * 1024;
const RECORDS_MAX: u64 = 16 * 1024;
const VER_FLG_BASE: u16 = 1;
const VER_FLG_WEAK: u16 = 2;

/// Bytes that are read by offset: a slice, or an open file.
pub trait ReadAt {
    /// Returns at most `len` bytes from `offset`; fewer at the end, `None` if they cannot be read.
    fn read_at(&self, offset: u64, len: usize) -> Option<Vec<u8>>;
}

/// What an ELF file is, and what it needs in order to be loaded.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ElfInfo {
    /// `e_machine`.
    pub machine: u16,
    pub is_64_little: bool,
    pub kind: ElfKind,
    pub interpreter: Option<String>,
    pub soname: Option<String>,
    pub needed: Vec<String>,
    /// `DT_RPATH`, as written.
    pub rpath: Vec<String>,
    /// `DT_RUNPATH`, as written.
    pub runpath: Vec<String>,
    pub version_needs: Vec<VersionNeed>,
    /// The symbol versions that this file defines.
    pub version_defines: Vec<String>,
}

/// What the loader does with an ELF file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ElfKind {
    /// A program or a shared object.
    Loadable,
    /// A relocatable object, a core dump or the like.
    #[default]
    Other,
}

/// A symbol version that must be defined by a library.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionNeed {
    pub library: String,
    pub version: String,
}

/// A file that begins like ELF and is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ElfError {
    #[error("its header is not valid")]
    Header,
    #[error("its program headers are not valid")]
    ProgramHeaders,
    #[error("its interpreter is not a path")]
    Interpreter,
    #[error("its dynamic section is cut off or too large")]
    Dynamic,
    #[error("its dynamic section points outside the file")]
    Pointer,
    #[error("a name in its dynamic section is not valid")]
    Name,
    #[error("its symbol versions are not valid")]
    Versions,
}

impl ElfInfo {
    /// Returns whether the file runs on `arch`.
    pub fn runs_on(&self, arch: Arch) -> bool {
        self.is_64_little && self.machine == machine(arch)
    }

    /// Returns the machine's name for messages.
    pub fn machine_name(&self) -> String {
        let name = header::machine_to_str(self.machine);
        name.trim_start_matches("EM_").to_ascii_lowercase()
    }
}

/// Returns the `e_machine` of an architecture.
pub fn machine(arch: Arch) -> u16 {
    match arch {
        Arch::Amd64 => header::EM_X86_64,
        Arch::Arm64 => header::EM_AARCH64,
    }
}

/// Reads an ELF file; `None` if the file does not begin like one.
pub fn parse(file: &dyn ReadAt) -> Option<Result<ElfInfo, ElfError>> {
    let head = file.read_at(0, HEADER_BYTES)?;
    head.starts_with(header::ELFMAG).then(|| parse_elf(file, head))
}

fn parse_elf(file: &dyn ReadAt, mut head: Vec<u8>) -> Result<ElfInfo, ElfError> {
    // A 32-bit header is shorter than ours, and so may the file be.
    head.resize(HEADER_BYTES, 0);
    let header = Elf::parse_header(&head).map_err(|_malformed| ElfError::Header)?;
    let is_64_little = header.e_ident[header::EI_CLASS] == header::ELFCLASS64
        && header.e_ident[header::EI_DATA] == header::ELFDATA2LSB;
    let mut info = ElfInfo { machine: header.e_machine, is_64_little, ..ElfInfo::default() };
    if !is_64_little || !matches!(header.e_type, header::ET_EXEC | header::ET_DYN) {
        return Ok(info);
    }
    info.kind = ElfKind::Loadable;
    let count = usize::from(header.e_phnum);
    let ctx = Ctx::new(Container::Big, Endian::Little);
    let bytes = exactly(file, header.e_phoff, count * 56).ok_or(ElfError::ProgramHeaders)?;
    let segments = ProgramHeader::parse(&bytes, 0, count, ctx)
        .map_err(|_malformed| ElfError::ProgramHeaders)?;
    for segment in &segments {
        match segment.p_type {
            PT_INTERP => info.interpreter = Some(interpreter(file, segment)?),
            PT_DYNAMIC => Dynamic::read(file, &segments, segment)?.fill(&mut info)?,
            _ => {}
        }
    }
    Ok(info)
}

fn interpreter(file: &dyn ReadAt, segment: &ProgramHeader) -> Result<String, ElfError> {
    let len = usize::try_from(segment.p_filesz).unwrap_or(usize::MAX).min(TEXT_BYTES_MAX);
    let bytes = file.read_at(segment.p_offset, len).ok_or(ElfError::Interpreter)?;
    text(&bytes).filter(|path| path.starts_with('/')).ok_or(ElfError::Interpreter)
}

/// Takes a record's offset in the file, and its bytes.
type EachRecord<'e> = &'e mut dyn FnMut(u64, &[u8]) -> Result<(), ElfError>;

struct Dynamic<'a> {
    file: &'a dyn ReadAt,
    segments: &'a [ProgramHeader],
    /// The tags and values.
    entries: Vec<(u64, u64)>,
    strings: u64,
}

impl<'a> Dynamic<'a> {
    fn read(
        file: &'a dyn ReadAt,
        segments: &'a [ProgramHeader],
        segment: &ProgramHeader,
    ) -> Result<Self, ElfError> {
        let len = Some(segment.p_filesz)
            .filter(|len| *len <= DYNAMIC_BYTES_MAX)
            .and_then(|len| usize::try_from(len).ok())
            .ok_or(ElfError::Dynamic)?;
        let bytes = exactly(file, segment.p_offset, len).ok_or(ElfError::Dynamic)?;
        let entries: Vec<(u64, u64)> = bytes
            .chunks_exact(16)
            .map(|entry| (u64_at(entry, 0), u64_at(entry, 8)))
            .take_while(|(tag, _)| *tag != dynamic::DT_NULL)
            .collect();
        let mut read = Self { file, segments, entries, strings: 0 };
        if let Some(address) = read.first(dynamic::DT_STRTAB) {
            read.strings = read.offset(address)?;
        }
        Ok(read)
    }

    fn fill(&self, info: &mut ElfInfo) -> Result<(), ElfError> {
        for (tag, value) in &self.entries {
            match *tag {
                dynamic::DT_NEEDED => info.needed.push(self.string(*value)?),
                dynamic::DT_SONAME => info.soname = Some(self.string(*value)?),
                dynamic::DT_RPATH => info.rpath.extend(split_path(&self.string(*value)?)),
                dynamic::DT_RUNPATH => info.runpath.extend(split_path(&self.string(*value)?)),
                _ => {}
            }
        }
        info.version_needs = self.version_needs()?;
        info.version_defines = self.version_defines()?;
        Ok(())
    }

    fn first(&self, tag: u64) -> Option<u64> {
        self.entries.iter().find(|(t, _)| *t == tag).map(|(_, value)| *value)
    }

    /// Returns where in the file the loader finds `address`.
    fn offset(&self, address: u64) -> Result<u64, ElfError> {
        self.segments
            .iter()
            .filter(|segment| segment.p_type == PT_LOAD)
            .find_map(|segment| {
                let inside = address.checked_sub(segment.p_vaddr)?;
                (inside < segment.p_filesz).then(|| segment.p_offset.checked_add(inside))?
            })
            .ok_or(ElfError::Pointer)
    }

    fn string(&self, index: u64) -> Result<String, ElfError> {
        let offset = self.strings.checked_add(index).ok_or(ElfError::Name)?;
        // Nearly all names are short; only a long search path needs the second read.
        for len in [256, TEXT_BYTES_MAX] {
            let bytes = self.file.read_at(offset, len).ok_or(ElfError::Name)?;
            if bytes.contains(&0) {
                return text(&bytes).ok_or(ElfError::Name);
            }
        }
        Err(ElfError::Name)
    }

    fn version_needs(&self) -> Result<Vec<VersionNeed>, ElfError> {
        let mut needs = Vec::new();
        self.records(dynamic::DT_VERNEED, dynamic::DT_VERNEEDNUM, 16, &mut |at, record| {
            let library = self.string(u32_at(record, 4))?;
            let count = u64::from(u16_at(record, 2));
            self.chain((at + u32_at(record, 8), count), (16, 12), &mut |_, aux| {
                if u16_at(aux, 4) & VER_FLG_WEAK == 0 {
                    let version = self.string(u32_at(aux, 8))?;
                    needs.push(VersionNeed { library: library.clone(), version });
                }
                Ok(())
            })
        })?;
        Ok(needs)
    }

    fn version_defines(&self) -> Result<Vec<String>, ElfError> {
        let mut defines = Vec::new();
        self.records(dynamic::DT_VERDEF, dynamic::DT_VERDEFNUM, 20, &mut |at, record| {
            if u16_at(record, 2) & VER_FLG_BASE != 0 {
                return Ok(());
            }
            // The first name is the version itself, the others are the versions it follows.
            self.chain((at + u32_at(record, 12), 1), (8, 4), &mut |_, aux| {
                defines.push(self.string(u32_at(aux, 0))?);
                Ok(())
            })
        })?;
        Ok(defines)
    }

    fn records(
        &self,
        tag: u64,
        count_tag: u64,
        size: usize,
        each: EachRecord<'_>,
    ) -> Result<(), ElfError> {
        let Some(address) = self.first(tag) else { return Ok(()) };
        let count = self.first(count_tag).unwrap_or(0);
        let next_field = if size == 20 { 16 } else { 12 };
        self.chain((self.offset(address)?, count), (size, next_field), each)
    }

    /// Calls `each` for records that are linked by the distance to the next one.
    fn chain(
        &self,
        (mut at, count): (u64, u64),
        (size, next_field): (usize, usize),
        each: EachRecord<'_>,
    ) -> Result<(), ElfError> {
        if count > RECORDS_MAX {
            return Err(ElfError::Versions);
        }
        for _ in 0..count {
            let record = exactly(self.file, at, size).ok_or(ElfError::Versions)?;
            each(at, &record)?;
            match u32_at(&record, next_field) {
                0 => break,
                next => at += next,
            }
        }
        Ok(())
    }
}

fn split_path(path: &str) -> impl Iterator<Item = String> + '_ {
    path.split(':').filter(|part| !part.is_empty()).map(str::to_owned)
}

fn exactly(file: &dyn ReadAt, offset: u64, len: usize) -> Option<Vec<u8>> {
    // Half the range leaves room for adding a 32-bit distance without overflow.
    if offset > u64::MAX / 2 {
        return None;
    }
    file.read_at(offset, len).filter(|bytes| bytes.len() == len)
}

fn text(bytes: &[u8]) -> Option<String> {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    String::from_utf8(bytes[..end].to_vec()).ok()
}

fn field<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes.get(at..at + N).and_then(|part| part.try_into().ok()).unwrap_or([0; N])
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(field(bytes, at))
}

fn u32_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32::from_le_bytes(field(bytes, at)))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(field(bytes, at))
}

impl ReadAt for Vec<u8> {
    fn read_at(&self, offset: u64, len: usize) -> Option<Vec<u8>> {
        let rest = self.get(usize::try_from(offset).ok()?..)?;
        Some(rest[..len.min(rest.len())].to_vec())
    }
}
