//! An archive as it lies on the disk: one file, or the parts that it was cut into, read as one.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;

use fs_err as fs;

use crate::unpack::error::UnpackError;

/// An opened archive. Parts are read where they lie: the whole is never put together on the disk.
#[derive(Debug)]
pub struct Archive {
    parts: Vec<Part>,
}

#[derive(Debug)]
struct Part {
    file: File,
    /// Where its first byte lies in the archive.
    start: u64,
    length: u64,
}

impl Archive {
    /// Opens an archive in one file.
    pub fn open(file: &Path) -> Result<Self, UnpackError> {
        Self::open_parts(&[file])
    }

    /// Opens an archive that was cut into `parts`, in their order.
    pub fn open_parts(parts: &[impl AsRef<Path>]) -> Result<Self, UnpackError> {
        let mut start = 0;
        let parts = parts.iter().map(|path| {
            let opened = fs::File::open(path.as_ref());
            let file = opened.map_err(|source| UnpackError::Open { source })?.into_file();
            let length = length(&file)?;
            let part = Part { file, start, length };
            start += length;
            Ok(part)
        });
        Ok(Self { parts: parts.collect::<Result<_, _>>()? })
    }

    /// Returns how many bytes the whole has now: a file may have changed since it was opened.
    pub(crate) fn size_bytes(&self) -> Result<u64, UnpackError> {
        let mut size_bytes = 0;
        for part in &self.parts {
            size_bytes += length(&part.file)?;
        }
        Ok(size_bytes)
    }

    /// Fills `buffer` with the bytes from `offset` on.
    pub(crate) fn read_exact_at(&self, mut buffer: &mut [u8], mut offset: u64) -> io::Result<()> {
        while !buffer.is_empty() {
            match self.read_at(buffer, offset)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                read => {
                    offset += read as u64;
                    buffer = &mut buffer[read..];
                }
            }
        }
        Ok(())
    }

    /// Returns a reader of the whole, from its first byte on.
    pub(crate) fn reader(&self) -> Reader<'_> {
        Reader { archive: self, offset: 0 }
    }

    /// Reads from the part that `offset` lies in, and never beyond its end.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let Some(part) = self.parts.iter().find(|part| offset < part.start + part.length) else {
            return Ok(0);
        };
        let within = offset - part.start;
        let left = usize::try_from(part.length - within).unwrap_or(usize::MAX);
        let length = buffer.len().min(left);
        match part.file.read_at(&mut buffer[..length], within) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                self.read_at(buffer, offset)
            }
            read => read,
        }
    }
}

/// Reads an archive from front to back.
pub(crate) struct Reader<'a> {
    archive: &'a Archive,
    pub(crate) offset: u64,
}

impl Read for Reader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.archive.read_at(buffer, self.offset)?;
        self.offset += read as u64;
        Ok(read)
    }
}

fn length(file: &File) -> Result<u64, UnpackError> {
    Ok(file.metadata().map_err(|source| UnpackError::ReadArchive { source })?.len())
}
