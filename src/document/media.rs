//! Which types of documents are taken, and how their bytes tell. A name or a header is a claim;
//! only a claim that the bytes bear out is stored. What is inside (macros, signatures, viruses) is
//! not looked at: nothing here opens a document.

crate::words! {
    /// Media type of a document.
    pub enum MediaType {
        /// PDF.
        Pdf = "application/pdf",
        /// An e-mail with its headers (RFC 5322).
        Email = "message/rfc822",
        /// PNG.
        Png = "image/png",
        /// JPEG.
        Jpeg = "image/jpeg",
        /// A signed container (ETSI EN 319 162-1).
        AsicE = "application/vnd.etsi.asic-e+zip",
        /// Text that a signatory typed, as the service rendered it; never uploaded.
        Typed = "text/plain; charset=utf-8",
    }
}

/// How many first bytes are enough to tell the type.
pub(super) const HEAD: usize = 64 * 1024;

impl MediaType {
    /// The types that may be uploaded, as one text for the refusal of others.
    pub const UPLOADED: &str = "application/pdf, message/rfc822, image/png, image/jpeg, application/vnd.etsi.asic-e+zip";

    /// What a `Content-Type` header claims; parameters are left aside.
    #[must_use]
    pub fn claimed(header: &str) -> Option<Self> {
        let name = header.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        name.parse().ok().filter(|claimed| *claimed != Self::Typed)
    }

    /// What the bytes are: `head` is their beginning, `has_nul` is about all of them.
    #[must_use]
    pub fn of_content(head: &[u8], has_nul: bool) -> Option<Self> {
        let by_signature = [Self::Pdf, Self::Png, Self::Jpeg].into_iter();
        if let Some(found) = by_signature.into_iter().find(|kind| infer::is_mime(head, kind.word())) {
            return Some(found);
        }
        if is_asic_e(head) {
            return Some(Self::AsicE);
        }
        (!has_nul && is_email(head)).then_some(Self::Email)
    }

    /// The extension of a file of this type.
    #[must_use]
    pub const fn extension(self) -> &'static str {
        match self {
            Self::Pdf => "pdf",
            Self::Email => "eml",
            Self::Png => "png",
            Self::Jpeg => "jpg",
            Self::AsicE => "asice",
            Self::Typed => "txt",
        }
    }
}

/// A ZIP whose first entry is `mimetype`, stored uncompressed, with the type of an ASiC-E.
fn is_asic_e(head: &[u8]) -> bool {
    let number = |at: usize| Some(usize::from(u16::from_le_bytes(head.get(at..at + 2)?.try_into().ok()?)));
    let (Some(method), Some(name), Some(extra)) = (number(8), number(26), number(28)) else { return false };
    let data = 30 + name + extra;
    head.starts_with(b"PK\x03\x04")
        && method == 0
        && head.get(30..30 + name) == Some(b"mimetype".as_slice())
        && head.get(data..).is_some_and(|rest| rest.starts_with(MediaType::AsicE.word().as_bytes()))
}

/// Header fields with `From` and `Date`, ended by an empty line.
fn is_email(head: &[u8]) -> bool {
    let (mut from, mut date) = (false, false);
    for (i, line) in head.split(|byte| *byte == b'\n').enumerate() {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            return from && date;
        }
        let folded = i > 0 && matches!(line.first(), Some(b' ' | b'\t'));
        if folded {
            continue;
        }
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { return false };
        let name = line[..colon].trim_ascii_end();
        if name.is_empty() || !name.iter().all(u8::is_ascii_graphic) {
            return false;
        }
        from |= name.eq_ignore_ascii_case(b"from");
        date |= name.eq_ignore_ascii_case(b"date");
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zip(method: u8, name: &str, data: &str) -> Vec<u8> {
        let mut bytes = b"PK\x03\x04\x14\0\0\0".to_vec();
        bytes.extend([method, 0]);
        bytes.extend([0; 16]);
        bytes.extend(u16::try_from(name.len()).unwrap().to_le_bytes());
        bytes.extend([0, 0]);
        bytes.extend(name.as_bytes());
        bytes.extend(data.as_bytes());
        bytes
    }

    #[test]
    fn the_bytes_tell_the_type() {
        let asic = MediaType::AsicE.word();
        for (bytes, expected) in [
            (b"%PDF-1.4\n".to_vec(), Some(MediaType::Pdf)),
            (super::super::pdf::of_lines("Avtale", &["x".to_owned()]), Some(MediaType::Pdf)),
            (b"\x89PNG\r\n\x1a\n\0\0".to_vec(), Some(MediaType::Png)),
            (b"\xff\xd8\xff\xe0\0\x10JFIF".to_vec(), Some(MediaType::Jpeg)),
            (zip(0, "mimetype", asic), Some(MediaType::AsicE)),
            (zip(8, "mimetype", asic), None),
            (zip(0, "word/doc", asic), None),
            (zip(0, "mimetype", "application/epub+zip"), None),
            (b"PK\x03\x04".to_vec(), None),
            (b"From: a@b.no\r\nDate: Tue, 24 Nov 2026 09:00:00 +0100\r\n\r\nHei".to_vec(), Some(MediaType::Email)),
            (b"Received: x\n\tby y\nDATE: x\nfrom: a\n\n".to_vec(), Some(MediaType::Email)),
            (b"From: a@b.no\r\nSubject: x\r\n\r\nDate: x".to_vec(), None),
            (b"From: a@b.no\r\nDate: x\r\nno blank line".to_vec(), None),
            (b"From: a@b.no\r\nDate: x\r\n".to_vec(), Some(MediaType::Email)),
            (b" From: a\nDate: x\n\n".to_vec(), None),
            (b"<html>From: Date:</html>".to_vec(), None),
            (b"MZ\x90\0".to_vec(), None),
            (Vec::new(), None),
        ] {
            let has_nul = bytes.contains(&0);
            assert_eq!(MediaType::of_content(&bytes, has_nul), expected, "{}", String::from_utf8_lossy(&bytes));
        }
        // An e-mail is text to its end, even past the part that is looked at.
        assert_eq!(MediaType::of_content(b"From: a\nDate: b\n\n", true), None);
    }

    #[test]
    fn a_claim_is_one_of_the_types_that_may_be_uploaded() {
        for (header, expected) in [
            ("application/pdf", Some(MediaType::Pdf)),
            ("Image/PNG; charset=binary", Some(MediaType::Png)),
            ("text/plain; charset=utf-8", None),
            ("text/html", None),
            ("application/pdfx", None),
            ("", None),
        ] {
            assert_eq!(MediaType::claimed(header), expected, "{header}");
        }
        let uploaded: Vec<_> = MediaType::UPLOADED.split(", ").collect();
        let all: Vec<_> = MediaType::ALL.iter().filter(|kind| **kind != MediaType::Typed).map(|kind| kind.word()).collect();
        assert_eq!(uploaded, all);
    }
}
