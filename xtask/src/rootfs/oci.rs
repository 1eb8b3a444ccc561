//! Base trees that come as the layers of an OCI image, pulled by its digest without a daemon.

mod auth;
mod document;
mod reference;

use std::path::Path;

use rnx_spec::source::ParseUrlError;
use rnx_spec::{Arch, Digest, SourceUrl};
use rnx_store::blob::{self, AddBlobError, BlobRequest, SizeBound};
use rnx_store::fetch::{
    FetchOptions, FetchOptionsError, Fetcher, OpenError, OriginToken, ReadAllError,
};
use sha2::{Digest as _, Sha256};

use crate::rootfs::oci::document::{Descriptor, Document, DocumentError, Manifest};
use crate::rootfs::oci::reference::{ParseReferenceError, Reference};
use crate::rootfs::{Progress, Provisioning, RootfsError, inside, tarball};

/// The image-spec's own limit for what a server must take.
const DOCUMENT_BYTES_MAX: u64 = 4 << 20;
const UNAUTHORIZED: u16 = 401;

/// An image could not be pulled. Nothing of it was kept.
#[derive(Debug, thiserror::Error)]
pub enum OciError {
    #[error(transparent)]
    Reference(#[from] ParseReferenceError),
    #[error("the image's address is none")]
    Url { source: ParseUrlError },
    #[error("the fetch options are unusable")]
    Options { source: FetchOptionsError },
    #[error("failed to ask the image's server")]
    Ask { source: ReadAllError },
    #[error("the image's server answered {status} to `{url}`")]
    Status { url: SourceUrl, status: u16 },
    #[error("the image's server wants a login that is no bearer token: {}", challenges.join("; "))]
    Challenge { challenges: Vec<String> },
    #[error("the image's server sends to `{url}` for a token, which is no encrypted address")]
    TokenUrl { url: String },
    #[error("`{url}` handed out no token (status {status})")]
    NoToken { url: SourceUrl, status: u16 },
    #[error("`{url}` has the wrong size: expected {expected} bytes, got {actual}")]
    SizeMismatch { url: SourceUrl, expected: u64, actual: u64 },
    #[error("`{url}` has the wrong content: expected {expected}, got {actual}")]
    DigestMismatch { url: SourceUrl, expected: Digest, actual: Digest },
    #[error("`{url}` cannot be used as a base")]
    Document { url: SourceUrl, source: DocumentError },
    #[error("an index in the index `{url}`")]
    NestedIndex { url: SourceUrl },
    #[error("failed to pull a layer")]
    Blob { source: AddBlobError },
}

/// Pulls the image, verifies every part of it, and unpacks its layers into `staging/rootfs`.
pub(crate) fn provision(
    (image, digest, arch): (&str, Digest, Arch),
    (staging, host): (&Path, &Provisioning),
    progress: &mut dyn FnMut(Progress),
) -> Result<(), RootfsError> {
    progress(Progress::Step("asking for the image"));
    let mut server = Server::new(image.parse().map_err(OciError::from)?, host.fetch)?;
    let manifest = server.manifest(digest, arch)?;
    let blobs = staging.join(tarball::BLOBS);
    let count = manifest.layers.len();
    for (index, layer) in manifest.layers.iter().enumerate() {
        progress(Progress::Step(&format!("fetching layer {} of {count}", index + 1)));
        let total = Some(layer.size);
        server.layer(layer, &blobs, &mut |done| progress(Progress::Bytes { done, total }))?;
    }
    progress(Progress::Step("unpacking"));
    let archives = manifest
        .layers
        .iter()
        .map(|layer| tarball::readable(staging, layer.digest))
        .collect::<Result<Vec<_>, _>>()?;
    inside::unpack(staging, &archives, true, host)?;
    tarball::clean_up(staging)
}

/// An image's server, and what it lets us do.
struct Server {
    image: Reference,
    options: FetchOptions,
    fetcher: Fetcher,
}

impl Server {
    fn new(image: Reference, options: &FetchOptions) -> Result<Self, OciError> {
        let fetcher = Fetcher::new(options).map_err(|source| OciError::Options { source })?;
        Ok(Self { image, options: options.clone(), fetcher })
    }

    /// Returns the image manifest for `arch` that `digest` leads to.
    fn manifest(&mut self, digest: Digest, arch: Arch) -> Result<Manifest, OciError> {
        let (url, bytes) = self.document(digest, None)?;
        let unusable = |url: SourceUrl| move |source| OciError::Document { url, source };
        let manifest = match document::parse(&bytes).map_err(unusable(url.clone()))? {
            Document::Manifest(manifest) => manifest,
            Document::Index(entries) => {
                let chosen = document::choose(&entries, arch).map_err(unusable(url))?;
                let (url, bytes) = self.document(chosen.digest, Some(chosen.size))?;
                match document::parse(&bytes).map_err(unusable(url.clone()))? {
                    Document::Manifest(manifest) => manifest,
                    Document::Index(_) => return Err(OciError::NestedIndex { url }),
                }
            }
        };
        let url = self.image.blob(manifest.config.digest);
        let url = url.map_err(|source| OciError::Url { source })?;
        let config = self.verified(&url, (manifest.config.digest, Some(manifest.config.size)))?;
        document::check_config(&config, arch).map_err(unusable(url))?;
        Ok(manifest)
    }

    fn document(
        &mut self,
        digest: Digest,
        size: Option<u64>,
    ) -> Result<(SourceUrl, Vec<u8>), OciError> {
        let url = self.image.manifest(digest).map_err(|source| OciError::Url { source })?;
        let bytes = self.verified(&url, (digest, size))?;
        Ok((url, bytes))
    }

    /// Returns a small document that is what its digest says.
    fn verified(
        &mut self,
        url: &SourceUrl,
        (expected, size): (Digest, Option<u64>),
    ) -> Result<Vec<u8>, OciError> {
        let bytes = self.ask(url)?;
        let actual = bytes.len() as u64;
        if let Some(expected) = size.filter(|size| *size != actual) {
            return Err(OciError::SizeMismatch { url: url.clone(), expected, actual });
        }
        let actual = Digest::from_bytes(Sha256::digest(&bytes).into());
        if actual != expected {
            return Err(OciError::DigestMismatch { url: url.clone(), expected, actual });
        }
        Ok(bytes)
    }

    fn ask(&mut self, url: &SourceUrl) -> Result<Vec<u8>, OciError> {
        let ask = |server: &Self| {
            let header =
                server.options.tokens.first().map(|token| format!("Bearer {}", token.token));
            server
                .fetcher
                .ask(url, document::ACCEPT, header.as_deref(), DOCUMENT_BYTES_MAX)
                .map_err(|source| OciError::Ask { source })
        };
        let mut answer = ask(self)?;
        if answer.status == UNAUTHORIZED {
            self.get_token(&answer.challenges)?;
            answer = ask(self)?;
        }
        match answer.status {
            200 => Ok(answer.body),
            status => Err(OciError::Status { url: url.clone(), status }),
        }
    }

    /// Fetches a layer into `blobs`, verified.
    fn layer(
        &mut self,
        layer: &Descriptor,
        blobs: &Path,
        progress: &mut dyn FnMut(u64),
    ) -> Result<(), OciError> {
        let url = self.image.blob(layer.digest).map_err(|source| OciError::Url { source })?;
        let size = SizeBound::Exactly(layer.size);
        let request = BlobRequest { url: url.clone(), digest: layer.digest, size };
        let add = |server: &Self, progress: &mut dyn FnMut(u64)| {
            blob::add(&server.fetcher, &request, blobs, progress)
        };
        let mut added = add(self, progress);
        if let Err(AddBlobError::Open { source: OpenError::Status { status, .. }, .. }) = &added
            && status.as_u16() == UNAUTHORIZED
        {
            // Tokens last for minutes, layers may take longer: the document's challenge is asked for again.
            let answer = self
                .fetcher
                .ask(&url, "*/*", None, DOCUMENT_BYTES_MAX)
                .map_err(|source| OciError::Ask { source })?;
            self.get_token(&answer.challenges)?;
            added = add(self, progress);
        }
        added.map(drop).map_err(|source| OciError::Blob { source })
    }

    /// Gets a token that allows to pull the image, and shows it to the image's server from now on.
    fn get_token(&mut self, challenges: &[String]) -> Result<(), OciError> {
        let challenge = auth::challenge(challenges)
            .ok_or_else(|| OciError::Challenge { challenges: challenges.to_vec() })?;
        let text = challenge.token_url(&self.image.scope());
        let origin = self.image.origin();
        // A token is a secret: who listens on the way to a loopback server is here already.
        if !text.starts_with("https://") && origin.starts_with("https://") {
            return Err(OciError::TokenUrl { url: text });
        }
        let url: SourceUrl = text.parse().map_err(|source| OciError::Url { source })?;
        let answer = self
            .fetcher
            .ask(&url, "application/json", None, DOCUMENT_BYTES_MAX)
            .map_err(|source| OciError::Ask { source })?;
        let token = auth::token(&answer.body)
            .filter(|_| answer.status == 200)
            .ok_or(OciError::NoToken { url, status: answer.status })?;
        self.options.tokens = vec![OriginToken { origin, token }];
        self.fetcher =
            Fetcher::new(&self.options).map_err(|source| OciError::Options { source })?;
        Ok(())
    }
}
