//! A plain PDF (1.4) of lines of text, for papers that the demo world's loader makes. Helvetica in
//! WinAnsi, A4, as many pages as it takes. It lays out nothing and embeds nothing.

/// Lines on one page.
const PAGE: usize = 52;
/// Letters in one line.
const WIDTH: usize = 92;

/// The bytes of a PDF with a title and these lines; long ones are broken at blanks. The same
/// arguments give the same bytes.
#[must_use]
pub fn of_lines(title: &str, lines: &[String]) -> Vec<u8> {
    let mut text = vec![title.to_owned(), String::new()];
    text.extend(lines.iter().flat_map(|line| broken(line)));
    let pages: Vec<&[String]> = text.chunks(PAGE).collect();
    // Objects: 1 catalogue, 2 page tree, 3 font, 4 information, then page and content in turn.
    let kids: Vec<String> = (0..pages.len()).map(|page| format!("{} 0 R", 5 + 2 * page)).collect();
    let mut objects: Vec<Vec<u8>> = vec![
        b"<< /Type /Catalog /Pages 2 0 R >>".to_vec(),
        format!("<< /Type /Pages /Kids [{}] /Count {} >>", kids.join(" "), pages.len()).into_bytes(),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>".to_vec(),
        [b"<< /Title (".as_slice(), &literal(title), b") >>"].concat(),
    ];
    for (number, page) in pages.iter().enumerate() {
        let content = format!(
            "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Resources << /Font << /F1 3 0 R >> >> /Contents {} 0 R >>",
            6 + 2 * number
        );
        objects.push(content.into_bytes());
        objects.push(stream(page));
    }
    assemble(&objects)
}

/// The content of one page.
fn stream(lines: &[String]) -> Vec<u8> {
    let mut text = b"BT /F1 10 Tf 14 TL 56 786 Td\n".to_vec();
    for line in lines {
        text.extend([b"(".as_slice(), &literal(line), b") Tj T*\n"].concat());
    }
    text.extend(b"ET\n");
    [format!("<< /Length {} >>\nstream\n", text.len()).as_bytes(), &text, b"endstream"].concat()
}

/// Objects with their numbers, the table of their places, and the trailer.
fn assemble(objects: &[Vec<u8>]) -> Vec<u8> {
    let mut file = b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n".to_vec();
    let mut places = Vec::with_capacity(objects.len());
    for (number, object) in objects.iter().enumerate() {
        places.push(file.len());
        file.extend(format!("{} 0 obj\n", number + 1).as_bytes());
        file.extend(object);
        file.extend(b"\nendobj\n");
    }
    let start = file.len();
    file.extend(format!("xref\n0 {}\n0000000000 65535 f \n", objects.len() + 1).as_bytes());
    for place in places {
        file.extend(format!("{place:010} 00000 n \n").as_bytes());
    }
    let trailer = format!("trailer\n<< /Size {} /Root 1 0 R /Info 4 0 R >>\nstartxref\n{start}\n%%EOF\n", objects.len() + 1);
    file.extend(trailer.as_bytes());
    file
}

/// Text inside the parentheses of a literal string.
fn literal(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '(' | ')' | '\\' => bytes.extend([b'\\', u8::try_from(letter).unwrap_or(b'?')]),
            ' '..='~' | '\u{a0}'..='\u{ff}' => bytes.push(u8::try_from(letter).unwrap_or(b'?')),
            '€' => bytes.push(0x80),
            '…' => bytes.push(0x85),
            '’' => bytes.push(0x92),
            '–' => bytes.push(0x96),
            _ => bytes.push(b'?'),
        }
    }
    bytes
}

/// A line in pieces that fit the page.
fn broken(line: &str) -> Vec<String> {
    let mut pieces = vec![String::new()];
    for word in line.split(' ') {
        let letters: Vec<char> = word.chars().collect();
        for (i, part) in letters.chunks(WIDTH).enumerate() {
            let part: String = part.iter().collect();
            let last = pieces.last_mut().filter(|last| i == 0 && last.chars().count() + part.chars().count() < WIDTH);
            match last {
                Some(last) if last.is_empty() => *last = part,
                Some(last) => {
                    last.push(' ');
                    last.push_str(&part);
                }
                None => pieces.push(part),
            }
        }
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(file: &[u8], text: &str) -> Option<usize> {
        file.windows(text.len()).position(|window| window == text.as_bytes())
    }

    #[test]
    fn every_object_stands_where_the_table_says() {
        let lines: Vec<String> = (0..120).map(|i| format!("Linje {i} (æøå) \\ € 漢")).collect();
        let file = of_lines("Databehandleravtale", &lines);
        assert!(file.starts_with(b"%PDF-1.4\n") && file.ends_with(b"%%EOF\n"));
        let start = find(&file, "xref\n0 ").unwrap();
        let table = String::from_utf8_lossy(&file[start..]).into_owned();
        assert!(table.contains(&format!("startxref\n{start}\n")));
        let places: Vec<usize> = table.lines().filter_map(|line| line.strip_suffix(" 00000 n ")?.parse().ok()).collect();
        // Three pages: four shared objects and two for each page.
        assert_eq!(places.len(), 10);
        for (number, place) in places.iter().enumerate() {
            assert!(file[*place..].starts_with(format!("{} 0 obj\n", number + 1).as_bytes()), "{number}");
        }
        assert!(find(&file, "/Count 3").is_some());
        assert_eq!(file, of_lines("Databehandleravtale", &lines));
    }

    #[test]
    fn text_is_escaped_and_letters_outside_the_encoding_are_replaced() {
        assert_eq!(literal("a(b)\\c"), b"a\\(b\\)\\\\c");
        assert_eq!(literal("Søby – 漢\n"), b"S\xf8by \x96 ??");
    }

    #[test]
    fn long_lines_are_broken_at_blanks() {
        let line = "ord ".repeat(60);
        assert!(broken(&line).iter().all(|piece| piece.chars().count() <= WIDTH));
        assert_eq!(broken(&line).join(" ").split_whitespace().count(), 60);
        assert_eq!(broken(&"x".repeat(200)).concat().len(), 200);
        assert_eq!(broken(""), [""]);
    }
}
