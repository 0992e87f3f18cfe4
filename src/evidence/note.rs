//! Signed notes (C2SP `signed-note`): a text and Ed25519 signatures under it, each with a name and
//! the hash of its key. One text has one form: what is read is written again byte for byte.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::base::{Error, Result, sha256};

/// The type of Ed25519 in key hashes and public keys.
const ED25519_TYPE: u8 = 1;
/// How a signature line begins: an em dash and a space.
const DASH: &str = "\u{2014} ";
/// No note of this service is longer, and a reader's memory is not the writer's to choose.
const LONGEST: usize = 1 << 20;

/// A public key under the name it signs as. Text form: `NAME+HASH+KEY`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoteKey {
    name: String,
    key: [u8; 32],
}

/// What is wrong with a note or a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoteFault {
    /// The bytes are not a signed note.
    #[error("not a signed note")]
    Malformed,
    /// The text is not a public key of a note.
    #[error("not a public key of signed notes")]
    MalformedKey,
    /// No signature is by a known key.
    #[error("not signed by a known key")]
    Unsigned,
    /// A signature by a known key does not fit the text.
    #[error("a signature does not fit the text")]
    Forged,
}

/// True if the name can stand on a signature line and in a key.
fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.contains(|c: char| c.is_whitespace() || c == '+')
}

impl NoteKey {
    /// The public key of this name; `None` when the name is no name.
    #[must_use]
    pub fn new(name: &str, key: [u8; 32]) -> Option<Self> {
        is_name(name).then(|| Self { name: name.to_owned(), key })
    }
    /// The name it signs as.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
    /// The Ed25519 public key.
    #[must_use]
    pub const fn public_key(&self) -> &[u8; 32] {
        &self.key
    }
    /// The first four bytes of the hash of name and key, by which a signature names its key.
    #[must_use]
    pub fn hash(&self) -> [u8; 4] {
        let digest = sha256(&[self.name.as_bytes(), b"\n", &[ED25519_TYPE], &self.key]).0;
        [digest[0], digest[1], digest[2], digest[3]]
    }
}

impl fmt::Display for NoteKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = STANDARD.encode([&[ED25519_TYPE], &self.key[..]].concat());
        write!(f, "{}+{}+{key}", self.name, hex::encode(self.hash()))
    }
}

impl FromStr for NoteKey {
    type Err = NoteFault;
    fn from_str(text: &str) -> Result<Self, NoteFault> {
        let mut parts = text.splitn(3, '+');
        let (Some(name), Some(_), Some(key)) = (parts.next(), parts.next(), parts.next()) else { return Err(NoteFault::MalformedKey) };
        let bytes = STANDARD.decode(key).map_err(|_| NoteFault::MalformedKey)?;
        let [ED25519_TYPE, key @ ..] = &bytes[..] else { return Err(NoteFault::MalformedKey) };
        let key = <[u8; 32]>::try_from(key).ok().and_then(|key| Self::new(name, key)).ok_or(NoteFault::MalformedKey)?;
        if key.to_string() == text { Ok(key) } else { Err(NoteFault::MalformedKey) }
    }
}

/// One signature under a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoteSignature {
    /// The name of the key.
    pub name: String,
    /// The hash of the key.
    pub hash: [u8; 4],
    /// The signature's bytes.
    pub bytes: Vec<u8>,
}

/// A text and the signatures under it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    text: String,
    signatures: Vec<NoteSignature>,
}

impl Note {
    /// The text, with its last line end.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }
    /// The signatures.
    #[must_use]
    pub fn signatures(&self) -> &[NoteSignature] {
        &self.signatures
    }
    /// Checks the signatures whose keys are known, and gives the text. Signatures of other keys say
    /// nothing (C2SP `signed-note`).
    ///
    /// # Errors
    /// [`NoteFault::Unsigned`] when none is by a known key, [`NoteFault::Forged`] when one does not fit.
    pub fn verify(&self, keys: &[NoteKey]) -> Result<&str, NoteFault> {
        let mut signed = false;
        for signature in &self.signatures {
            for key in keys.iter().filter(|key| key.name == signature.name && key.hash() == signature.hash) {
                let public = UnparsedPublicKey::new(&ED25519, &key.key);
                public.verify(self.text.as_bytes(), &signature.bytes).map_err(|_| NoteFault::Forged)?;
                signed = true;
            }
        }
        if signed { Ok(&self.text) } else { Err(NoteFault::Unsigned) }
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        for NoteSignature { name, hash, bytes } in &self.signatures {
            writeln!(f, "{DASH}{name} {}", STANDARD.encode([&hash[..], bytes].concat()))?;
        }
        Ok(())
    }
}

impl FromStr for Note {
    type Err = NoteFault;
    fn from_str(note: &str) -> Result<Self, NoteFault> {
        if note.len() > LONGEST || note.bytes().any(|byte| byte < b' ' && byte != b'\n') {
            return Err(NoteFault::Malformed);
        }
        let end = note.rfind("\n\n").ok_or(NoteFault::Malformed)?;
        let (text, lines) = (&note[..=end], &note[end + 2..]);
        let lines = lines.strip_suffix('\n').ok_or(NoteFault::Malformed)?;
        let signatures = lines.split('\n').map(signature).collect::<Option<Vec<_>>>().ok_or(NoteFault::Malformed)?;
        let read = Self { text: text.to_owned(), signatures };
        if read.to_string() == note { Ok(read) } else { Err(NoteFault::Malformed) }
    }
}

fn signature(line: &str) -> Option<NoteSignature> {
    let (name, rest) = line.strip_prefix(DASH)?.split_once(' ')?;
    let bytes = STANDARD.decode(rest).ok()?;
    let (hash, bytes) = bytes.split_first_chunk::<4>()?;
    (is_name(name) && !bytes.is_empty()).then(|| NoteSignature { name: name.to_owned(), hash: *hash, bytes: bytes.to_vec() })
}

/// A private key of the logs: Ed25519 (RFC 8032). It signs under the name of each log.
pub struct LogSigningKey {
    pair: Ed25519KeyPair,
    public: [u8; 32],
}

impl fmt::Debug for LogSigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogSigningKey").field("kid", &self.kid()).finish_non_exhaustive()
    }
}

impl LogSigningKey {
    /// Reads an Ed25519 private key in PKCS#8 PEM.
    ///
    /// # Errors
    /// When the bytes are not such a key.
    pub fn from_pem(bytes: &[u8]) -> Result<Self> {
        let pem = pem::parse(bytes).map_err(Error::internal)?;
        let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(pem.contents()).map_err(Error::internal)?;
        let public = pair.public_key().as_ref().try_into().map_err(Error::internal)?;
        Ok(Self { pair, public })
    }
    /// A new key, in PKCS#8 PEM.
    ///
    /// # Errors
    /// When the system gives no randomness.
    pub fn generate_pem() -> std::io::Result<String> {
        let failed = |_| std::io::Error::other("the key cannot be made");
        let der =
            Ed25519KeyPair::generate().and_then(|pair| pair.to_pkcs8v1().map_err(|_| aws_lc_rs::error::Unspecified)).map_err(failed)?;
        Ok(pem::encode_config(&pem::Pem::new("PRIVATE KEY", der.as_ref()), pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF)))
    }
    /// Its public half.
    #[must_use]
    pub const fn public_key(&self) -> &[u8; 32] {
        &self.public
    }
    /// Its id: SHA-256 of the public half, in hexadecimal digits.
    #[must_use]
    pub fn kid(&self) -> String {
        sha256(&[&self.public]).to_string()
    }
    /// Signs a text, which ends with a line end, under a name. `None`: the name or the text cannot stand in a note.
    #[must_use]
    pub fn sign(&self, name: &str, text: &str) -> Option<Note> {
        let key = NoteKey::new(name, self.public)?;
        let bytes = self.pair.sign(text.as_bytes()).as_ref().to_vec();
        let note = Note { text: text.to_owned(), signatures: vec![NoteSignature { name: name.to_owned(), hash: key.hash(), bytes }] };
        (note.to_string().parse() == Ok(note.clone())).then_some(note)
    }
}
