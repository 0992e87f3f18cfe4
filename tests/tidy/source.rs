//! Reads the tree, and cuts Rust text into tokens.
//!
//! Comments yield no token and a string is one token of its own kind, so that no rule
//! mistakes prose or SQL for code. It is a reader of shapes, not a compiler: macros are
//! not expanded and renamed imports are not followed (clippy sees those).

use std::fs;
use std::path::Path;

/// What a token is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// An identifier, keyword or number.
    Word,
    /// The content of a string literal.
    Text,
    /// One character of punctuation, or `::`.
    Mark,
}

/// One token and the lines it covers, counted from 1.
#[derive(Clone, Debug)]
pub struct Token {
    pub kind: Kind,
    pub text: String,
    pub line: usize,
    pub last_line: usize,
}

impl Token {
    /// True for this very keyword, identifier or punctuation; never for a string.
    pub fn is(&self, text: &str) -> bool {
        self.kind != Kind::Text && self.text == text
    }

    pub fn is_word(&self) -> bool {
        self.kind == Kind::Word
    }
}

/// One file of the repository, by its path from the root.
pub struct Source {
    pub path: String,
    pub text: String,
    pub tokens: Vec<Token>,
}

impl Source {
    pub fn new(path: &str, text: &str) -> Self {
        let tokens = if path.ends_with(".rs") { tokens(text) } else { Vec::new() };
        Self { path: path.to_owned(), text: text.to_owned(), tokens }
    }

    pub fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// The path's parts below `src/`, the last without its suffix.
    pub fn modules(&self) -> Vec<&str> {
        let below = self.path.strip_prefix("src/").unwrap_or(&self.path);
        let mut parts: Vec<&str> = below.trim_end_matches(".rs").split('/').collect();
        if matches!(parts.last(), Some(&("mod" | "lib" | "main"))) {
            parts.pop();
        }
        parts
    }

    /// Lines at which these tokens stand one after another.
    pub fn lines_of(&self, sequence: &[&str]) -> Vec<usize> {
        self.tokens
            .windows(sequence.len())
            .filter(|window| window.iter().zip(sequence).all(|(token, text)| token.is(text)))
            .map(|window| window[0].line)
            .collect()
    }
}

/// Every Rust and HTML file below `folders`, sorted by path.
pub fn tree(root: &Path, folders: &[&str]) -> Vec<Source> {
    let mut found = Vec::new();
    for folder in folders {
        walk(root, &root.join(folder), &mut found);
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

/// Names of the entries of one folder; none when it does not exist.
pub fn names_in(folder: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut names: Vec<String> = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

fn walk(root: &Path, folder: &Path, found: &mut Vec<Source>) {
    for name in names_in(folder) {
        let path = folder.join(&name);
        if path.is_dir() {
            walk(root, &path, found);
        } else if name.ends_with(".rs") || name.ends_with(".html") {
            let text = fs::read_to_string(&path).expect("a source file is readable UTF-8");
            let below = path.strip_prefix(root).expect("the walk stays below the root");
            found.push(Source::new(&below.to_string_lossy().replace('\\', "/"), &text));
        }
    }
}

/// Cuts Rust text into tokens.
pub fn tokens(text: &str) -> Vec<Token> {
    let mut reader = Reader { chars: text.chars().collect(), at: 0, line: 1, found: Vec::new() };
    while let Some(next) = reader.peek(0) {
        reader.token(next);
    }
    reader.found
}

struct Reader {
    chars: Vec<char>,
    at: usize,
    line: usize,
    found: Vec<Token>,
}

impl Reader {
    fn peek(&self, ahead: usize) -> Option<char> {
        self.chars.get(self.at + ahead).copied()
    }

    fn step(&mut self) -> Option<char> {
        let next = self.peek(0)?;
        self.at += 1;
        self.line += usize::from(next == '\n');
        Some(next)
    }

    fn push(&mut self, kind: Kind, text: String, line: usize) {
        self.found.push(Token { kind, text, line, last_line: self.line });
    }

    fn token(&mut self, next: char) {
        let line = self.line;
        match (next, self.peek(1)) {
            ('/', Some('/')) => {
                while self.peek(0).is_some_and(|c| c != '\n') {
                    self.step();
                }
            }
            ('/', Some('*')) => self.block_comment(),
            ('"', _) => self.string(line),
            ('\'', _) => self.quote(line),
            (':', Some(':')) => {
                self.at += 2;
                self.push(Kind::Mark, "::".to_owned(), line);
            }
            _ if next.is_whitespace() => {
                self.step();
            }
            _ if next.is_alphanumeric() || next == '_' => self.word(line),
            _ => {
                self.step();
                self.push(Kind::Mark, next.to_string(), line);
            }
        }
    }

    fn block_comment(&mut self) {
        let mut depth = 0;
        loop {
            match (self.peek(0), self.peek(1)) {
                (Some('/'), Some('*')) => {
                    depth += 1;
                    self.at += 2;
                }
                (Some('*'), Some('/')) => {
                    depth -= 1;
                    self.at += 2;
                    if depth == 0 {
                        return;
                    }
                }
                (None, _) => return,
                _ => {
                    self.step();
                }
            }
        }
    }

    fn word(&mut self, line: usize) {
        let mut word = String::new();
        while let Some(c) = self.peek(0).filter(|c| c.is_alphanumeric() || *c == '_') {
            word.push(c);
            self.at += 1;
        }
        let hashes = (0..).take_while(|ahead| self.peek(*ahead) == Some('#')).count();
        let quoted = self.peek(hashes) == Some('"');
        match word.as_str() {
            "r" | "br" | "cr" if quoted => self.raw_string(hashes, line),
            "b" | "c" if quoted && hashes == 0 => self.string(line),
            // A raw identifier, `r#type`, is the word without its prefix.
            "r" if hashes == 1 => self.at += 1,
            _ => self.push(Kind::Word, word, line),
        }
    }

    fn string(&mut self, line: usize) {
        let mut content = String::new();
        self.step();
        while let Some(c) = self.step() {
            match c {
                '"' => break,
                '\\' => {
                    self.step();
                }
                _ => content.push(c),
            }
        }
        self.push(Kind::Text, content, line);
    }

    fn raw_string(&mut self, hashes: usize, line: usize) {
        let mut content = String::new();
        self.at += hashes + 1;
        while let Some(c) = self.step() {
            if c == '"' && (0..hashes).all(|ahead| self.peek(ahead) == Some('#')) {
                self.at += hashes;
                break;
            }
            content.push(c);
        }
        self.push(Kind::Text, content, line);
    }

    /// A character literal, or the tick of a lifetime or label.
    fn quote(&mut self, line: usize) {
        self.step();
        if self.peek(0) == Some('\\') {
            self.at += 2;
            while self.step().is_some_and(|c| c != '\'') {}
            self.push(Kind::Text, String::new(), line);
        } else if self.peek(1) == Some('\'') {
            self.step();
            self.step();
            self.push(Kind::Text, String::new(), line);
        }
    }
}

#[cfg(test)]
mod cases {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        tokens(text).into_iter().filter(Token::is_word).map(|token| token.text).collect()
    }

    #[test]
    fn comments_and_strings_are_not_code() {
        let text = "a // b\n/* c /* d */ e */ f \"g \\\" h\" r#\"i \" j\"# b\"k\" br\"l\" m";
        assert_eq!(words(text), ["a", "f", "m"]);
    }

    #[test]
    fn character_literals_are_told_from_lifetimes() {
        assert_eq!(words("x('{', '\\'', '\\u{7d}', b'\"') y<'life> 'out: z"), ["x", "b", "y", "life", "out", "z"]);
    }

    #[test]
    fn raw_identifiers_lose_their_prefix() {
        assert_eq!(words("r#type r\"text\" rest"), ["type", "rest"]);
    }

    #[test]
    fn lines_are_counted_through_strings_and_comments() {
        let found = tokens("/* 1\n2 */ \"2\n3\"\nfour");
        assert_eq!((found[0].line, found[0].last_line), (2, 3));
        assert_eq!(found[1].line, 4);
    }
}
