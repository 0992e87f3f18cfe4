//! Mail as files: one `.eml` (RFC 5322) per message, readable by the service's account alone. For
//! private databases and tests, where a written file counts as delivered; nowhere else does it.

use std::path::{Path, PathBuf};

use lettre::message::header::{ContentTransferEncoding, ContentType};
use lettre::message::{Attachment, Body, Mailbox, Message as Mail, MultiPart, SinglePart};
use tokio::io::AsyncWriteExt;

use super::message::Message;
use crate::base::{Error, Result};

/// Who it is from. The domain is one that cannot exist (RFC 2606): nobody can answer.
const FROM: &str = "mandate@mandate.invalid";

/// Why a message was not sent.
#[derive(Debug)]
pub(super) enum Unsent {
    /// Another try may send it.
    Now(Error),
    /// No try ever will: what it says of the message.
    Never(&'static str),
}

/// What goes with a message.
#[derive(Debug)]
pub(super) enum Enclosed {
    /// Nothing: it is for the staff, or brings its checkpoint itself.
    Nothing,
    /// The signed checkpoint of the customer's log, as it is now.
    Checkpoint(String),
    /// None could be signed: a notice is not held back for it, but says so.
    NoCheckpoint,
}

/// Name of the file that a checkpoint goes as: as it is, `mandate verify --pinned` takes it.
const CHECKPOINT: &str = "checkpoint.txt";
const KEEP_IT: &str = "\n\nEnclosed is the signed checkpoint of your institution's log (checkpoint.txt). Keep it: whoever has it can\n\
    prove that nothing recorded until now was changed, removed or added afterwards.\n";
const NO_CHECKPOINT: &str = "\n\nThe signed checkpoint of your institution's log, which goes with every notice, could not be made for this\n\
    one. Ask the processor why, and keep those that you have received.\n";

/// Writes messages into a folder.
#[derive(Debug, Clone)]
pub struct FileTransport {
    dir: PathBuf,
}

impl FileTransport {
    /// A transport into a folder that exists.
    #[must_use]
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into() }
    }
    /// The folder.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Writes one message whole, or not at all. Written again, it is the same file.
    pub(super) async fn send(&self, message: &Message, enclosed: &Enclosed) -> Result<(), Unsent> {
        let mail = format(message, enclosed)?;
        self.write(message, &mail).await.map_err(Unsent::Now)
    }

    async fn write(&self, message: &Message, mail: &[u8]) -> Result<()> {
        let path = self.dir.join(format!("{}.eml", message.id));
        let draft = self.dir.join(format!(".{}.part", message.id));
        let mut options = tokio::fs::OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        let mut file = options.open(&draft).await.map_err(Error::internal)?;
        file.write_all(mail).await.map_err(Error::internal)?;
        file.sync_all().await.map_err(Error::internal)?;
        tokio::fs::rename(&draft, &path).await.map_err(Error::internal)
    }
}

fn format(message: &Message, enclosed: &Enclosed) -> Result<Vec<u8>, Unsent> {
    let to: Mailbox = message.address.parse().map_err(|_| Unsent::Never("its address is none that mail can be sent to"))?;
    let from: Mailbox = FROM.parse().map_err(|_| Unsent::Never("it has no sender"))?;
    let body = message.body.clone().ok_or(Unsent::Never("its text is gone"))?;
    let head = Mail::builder()
        .message_id(Some(format!("<{}@mandate.invalid>", message.id)))
        .date(message.created_at.utc().into())
        .from(from)
        .to(to)
        .subject(message.subject.as_str());
    let mail = match enclosed {
        Enclosed::Nothing => head.header(ContentType::TEXT_PLAIN).body(body),
        Enclosed::NoCheckpoint => head.header(ContentType::TEXT_PLAIN).body(body + NO_CHECKPOINT),
        Enclosed::Checkpoint(note) => {
            // Base64 keeps its bytes, line ends included.
            let note = Body::new_with_encoding(note.clone().into_bytes(), ContentTransferEncoding::Base64)
                .map_err(|_| Unsent::Never("its checkpoint cannot be written as mail"))?;
            let note = Attachment::new(CHECKPOINT.to_owned()).body(note, ContentType::TEXT_PLAIN);
            // A boundary of its own, so that what is written again is the same file.
            let parts = MultiPart::mixed().boundary(message.id.to_string());
            head.multipart(parts.singlepart(SinglePart::plain(body + KEEP_IT)).singlepart(note))
        }
    };
    Ok(mail.map_err(|_| Unsent::Never("it cannot be written as mail"))?.formatted())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;
    use uuid::Uuid;

    fn message(body: &str) -> Message {
        Message {
            id: Uuid::from_u128(7).into(),
            purpose: "test".to_owned(),
            subject_id: Uuid::from_u128(8),
            address: "kari.solheim@nordvik.example".to_owned(),
            subject: "A notice".to_owned(),
            body: Some(body.to_owned()),
            created_at: "2026-09-28T12:00:00Z".parse().unwrap(),
            delivered_at: None,
            undeliverable_at: None,
        }
    }

    #[test]
    fn a_checkpoint_goes_as_a_file_of_its_own_and_its_absence_is_told() {
        let note = "mandate/cus_1/1\n2\nAAAA\n\n\u{2014} mandate/cus_1/1 BBBB\n";
        let sent = |enclosed: &Enclosed| String::from_utf8(format(&message("One line.\n"), enclosed).unwrap()).unwrap();
        let with = sent(&Enclosed::Checkpoint(note.to_owned()));
        assert_eq!(with, sent(&Enclosed::Checkpoint(note.to_owned())), "written again, it is the same file");
        assert!(with.contains("One line.\r\n") && with.contains("filename=\"checkpoint.txt\""), "{with}");
        let encoded = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, note);
        assert!(with.replace("\r\n", "").contains(&encoded), "{with}");
        assert!(sent(&Enclosed::NoCheckpoint).contains("could not be made for this"));
        assert!(!sent(&Enclosed::Nothing).contains("checkpoint"));
    }

    #[tokio::test]
    async fn a_message_is_one_private_file_with_one_recipient() {
        let dir = std::env::temp_dir().join(format!("mandate-mail-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let transport = FileTransport::new(&dir);
        for _ in 0..2 {
            transport.send(&message("One line.\nAnother.\n"), &Enclosed::Nothing).await.unwrap();
        }
        let files: Vec<_> = std::fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert_eq!(files.len(), 1);
        assert_eq!(std::fs::metadata(&files[0]).unwrap().permissions().mode() & 0o777, 0o600);
        let text = std::fs::read_to_string(&files[0]).unwrap();
        for part in [
            "Message-ID: <msg_00000000000000000000000000000007@mandate.invalid>\r\n",
            "Date: Mon, 28 Sep 2026 12:00:00 +0000\r\n",
            "To: kari.solheim@nordvik.example\r\n",
            "Subject: A notice\r\n",
            "\r\n\r\nOne line.\r\nAnother.\r\n",
        ] {
            assert!(text.contains(part), "{part:?} in {text}");
        }
        for address in ["a..b@nordvik.example", "kari", ""] {
            let sent = transport.send(&Message { address: address.to_owned(), ..message(&text) }, &Enclosed::Nothing).await;
            assert!(matches!(sent, Err(Unsent::Never(_))), "{address}: {sent:?}");
        }
        // Control: a folder that is not there may be there at the next try.
        std::fs::remove_dir_all(&dir).unwrap();
        assert!(matches!(transport.send(&message(&text), &Enclosed::NoCheckpoint).await, Err(Unsent::Now(_))));
    }
}
