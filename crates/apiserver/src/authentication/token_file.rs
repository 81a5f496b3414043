//! Static tokens from a file: a line each of token, user name, uid and, in quotes, groups.

use std::collections::HashMap;

use sha2::{Digest, Sha256};

use crate::User;

/// A token file that cannot be read.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum TokenFileError {
    /// A line does not have what it takes.
    #[error("line {0} of the token file needs at least a token, a user name and a uid")]
    TooShort(usize),
    /// A quoted field does not end.
    #[error("line {0} of the token file has a quote without an end")]
    OpenQuote(usize),
}

/// The users of a token file. Tokens are kept as hashes, so that none shows in a dump and none is guessed by timing.
#[derive(Debug, Default)]
pub struct TokenFile(HashMap<[u8; 32], User>);

impl TokenFile {
    /// Reads the file's text. Empty lines and empty tokens are left out; of two lines with one token the later counts.
    ///
    /// # Errors
    /// Says which line is wrong.
    pub fn parse(text: &str) -> Result<Self, TokenFileError> {
        let mut users = HashMap::new();
        for (at, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let fields = split(line).ok_or(TokenFileError::OpenQuote(at + 1))?;
            let [token, name, uid, rest @ ..] = &fields[..] else { return Err(TokenFileError::TooShort(at + 1)) };
            if token.is_empty() {
                continue;
            }
            let groups = rest.first().into_iter().flat_map(|groups| groups.split(','));
            let groups = groups.filter(|group| !group.is_empty()).map(str::to_owned).collect();
            let user = User { name: name.clone(), uid: uid.clone(), groups, ..User::default() };
            users.insert(hash(token), user);
        }
        Ok(Self(users))
    }

    /// Whose token this is.
    #[must_use]
    pub fn user(&self, token: &str) -> Option<&User> {
        self.0.get(&hash(token))
    }
}

fn hash(token: &str) -> [u8; 32] {
    Sha256::digest(token).into()
}

/// The fields of a line of comma separated values (RFC 4180); `None` when a quote does not end.
fn split(line: &str) -> Option<Vec<String>> {
    let (mut fields, mut field, mut quoted) = (Vec::new(), String::new(), false);
    let mut characters = line.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '"' if quoted && characters.peek() == Some(&'"') => {
                characters.next();
                field.push('"');
            }
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(std::mem::take(&mut field)),
            other => field.push(other),
        }
    }
    fields.push(field);
    (!quoted).then_some(fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        let file = TokenFile::parse("t1,admin,admin,\"system:masters\"\n\nt2,jane,2,\"a,b\"\nt3,joe,3\n").unwrap();
        let shown = |token| file.user(token).map(|user| format!("{} {} {:?}", user.name, user.uid, user.groups));
        assert_eq!(shown("t1").unwrap(), r#"admin admin ["system:masters"]"#);
        assert_eq!(shown("t2").unwrap(), r#"jane 2 ["a", "b"]"#);
        assert_eq!(shown("t3").unwrap(), "joe 3 []");
        assert_eq!(shown("t4"), None);
        assert_eq!(TokenFile::parse("t1,x").unwrap_err(), TokenFileError::TooShort(1));
        assert_eq!(TokenFile::parse("\nt1,x,y,\"a").unwrap_err(), TokenFileError::OpenQuote(2));
    }
}
