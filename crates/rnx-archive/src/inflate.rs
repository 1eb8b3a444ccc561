//! Inflating one deflate stream that must fill its place exactly, on both sides.
//!
//! `libdeflater` does not say where in its input a stream ended. Bytes between there and the end of
//! a gzip member would then be skipped in silence, while every other program reads them as the next
//! member: two programs would see two different trees in one archive. The C library does say it.
#![expect(unsafe_code, reason = "the binding that reports the input's end is the C function alone")]

use std::ptr::NonNull;

use libdeflate_sys::{
    libdeflate_alloc_decompressor, libdeflate_decompressor, libdeflate_deflate_decompress_ex,
    libdeflate_free_decompressor, libdeflate_result_LIBDEFLATE_SUCCESS,
};

/// The tables that inflating needs, used again from one member to the next.
pub(crate) struct Inflater(NonNull<libdeflate_decompressor>);

/// Where a stream ended, in its input and in its output.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) read: usize,
    pub(crate) written: usize,
}

impl Inflater {
    /// Returns nothing when there is no memory.
    pub(crate) fn new() -> Option<Self> {
        // SAFETY: the function has no preconditions; it returns null when there is no memory.
        NonNull::new(unsafe { libdeflate_alloc_decompressor() }).map(Self)
    }

    /// Inflates the stream that starts `packed`; returns nothing if it is damaged, or if it does
    /// not fit into `content`.
    pub(crate) fn inflate(&mut self, packed: &[u8], content: &mut [u8]) -> Option<Ended> {
        let mut ended = Ended { read: 0, written: 0 };
        // SAFETY: `self.0` was allocated in `new`, is freed in `drop` alone and, behind `&mut`, is
        // used by this call alone. Both buffers are valid for the lengths given, and are distinct
        // as one is borrowed mutably; the last two pointers are to integers on this stack.
        let result = unsafe {
            libdeflate_deflate_decompress_ex(
                self.0.as_ptr(),
                packed.as_ptr().cast(),
                packed.len(),
                content.as_mut_ptr().cast(),
                content.len(),
                &raw mut ended.read,
                &raw mut ended.written,
            )
        };
        (result == libdeflate_result_LIBDEFLATE_SUCCESS).then_some(ended)
    }
}

impl Drop for Inflater {
    fn drop(&mut self) {
        // SAFETY: allocated in `new`, and not used after this.
        unsafe { libdeflate_free_decompressor(self.0.as_ptr()) }
    }
}
