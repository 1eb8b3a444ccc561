//! Collects findings while a text is read.

use std::ops::Range;

use crate::diagnostic::{Code, Diagnostic, Fix, Severity, Span};

/// The findings about one text.
pub(super) struct Report<'t> {
    text: &'t str,
    pub(super) diagnostics: Vec<Diagnostic>,
}

impl<'t> Report<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        Self { text, diagnostics: Vec::new() }
    }

    /// Adds an error at `span`; a span over several lines is cut to the first of them.
    pub(super) fn error(
        &mut self,
        code: Code,
        span: &Range<usize>,
        message: impl Into<String>,
    ) -> &mut Diagnostic {
        let span = Some(Span(self.first_line(span)));
        let message = message.into();
        let severity = Severity::Error;
        self.push(Diagnostic { code, severity, message, span, help: None, fix: None })
    }

    /// Adds an error about the whole file.
    pub(super) fn file_error(&mut self, code: Code, message: impl Into<String>) -> &mut Diagnostic {
        let message = message.into();
        let severity = Severity::Error;
        self.push(Diagnostic { code, severity, message, span: None, help: None, fix: None })
    }

    pub(super) fn has_errors(&self) -> bool {
        self.diagnostics.iter().any(|diagnostic| diagnostic.severity == Severity::Error)
    }

    /// Returns the number of the line that byte `offset` is on, from 1.
    pub(super) fn line(&self, offset: usize) -> usize {
        self.text.bytes().take(offset).fold(1, |line, byte| line + usize::from(byte == b'\n'))
    }

    fn push(&mut self, diagnostic: Diagnostic) -> &mut Diagnostic {
        let index = self.diagnostics.len();
        self.diagnostics.push(diagnostic);
        &mut self.diagnostics[index]
    }

    fn first_line(&self, span: &Range<usize>) -> Range<usize> {
        let start = self.text.floor_char_boundary(span.start.min(self.text.len()));
        let end = self.text.floor_char_boundary(span.end.clamp(start, self.text.len()));
        let line = self.text[start..end].lines().next().unwrap_or_default();
        start..start + line.trim_end().len()
    }
}

/// Returns the fix that writes `replacement` over `span`.
pub(super) fn replace(span: &Range<usize>, replacement: impl Into<String>) -> Fix {
    Fix { span: Span(span.clone()), replacement: replacement.into() }
}
