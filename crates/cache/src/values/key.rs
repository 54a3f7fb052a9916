//! The names of what is kept, and what can be forgotten.

use std::fmt::{self, Write as _};
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use kernel::{Identity, Role};
use sha2::{Digest, Sha256};

/// The most bytes a key's text has.
pub const MOST_KEY_BYTES: usize = 200;
/// The most parts of a key, the entity included.
pub const MOST_KEY_PARTS: usize = 8;
/// The most bytes of an entity that is kept as it is; the same for the name of a config.
pub(crate) const MOST_ENTITY_BYTES: usize = 32;
/// The most bytes of any other part that is kept as it is.
const MOST_PART_BYTES: usize = 40;
/// A digest with its prefix: `~` and 128 bits in base64url. Eight parts of which seven are digests are 200 bytes.
const DIGEST_BYTES: usize = 23;
/// So long is the text of nearly every key, and costs no allocation.
const SHORT: usize = 62;

/// What a value is kept under: `entity:id:field`, at most [`MOST_KEY_BYTES`] long. Equal texts are the same key.
///
/// A part that is not plain (`A–Z a–z 0–9 _ . -`, at most 40 bytes) is replaced by its SHA-256, cut to 128 bits: no
/// part can pretend to be two, and neither a secret nor what a person wrote stands in a log or in Redis. Where the
/// value depends on the caller, the key must say so: [`Key::by`].
#[derive(Clone)]
pub struct Key(Text);

#[derive(Clone)]
enum Text {
    Short { length: u8, bytes: [u8; SHORT] },
    Long(Arc<[u8]>),
}

impl Key {
    /// A key of this entity, the noun that it is about: `post`.
    pub fn of(entity: &str) -> Self {
        let mut part = Part::new(b'~', MOST_ENTITY_BYTES);
        part.add(entity.as_bytes());
        let (bytes, length) = part.finish();
        Self::joined(&[], &bytes[..length])
    }

    /// The same with the id of which one it is.
    #[must_use]
    pub fn id(&self, id: impl fmt::Display) -> Self {
        self.part(b'~', id)
    }

    /// The same with what of it: a view, a page, a filter. A part is a part: what says which is its place, so that one
    /// entity's keys should all have the same form.
    #[must_use]
    pub fn field(&self, field: impl fmt::Display) -> Self {
        self.part(b'~', field)
    }

    /// The same for one caller: a person with a role, nobody, or the process. A kept value that depends on the caller
    /// or on their rights must have it, or the next caller gets what was meant for another. The session is no part of
    /// it: what depends on that is not to be kept.
    #[must_use]
    pub fn by(&self, identity: &Identity) -> Self {
        // `@` is not plain: no part that is handed in can look like this.
        match identity {
            Identity::Anonymous => self.part(b'@', format_args!("@anonymous")),
            Identity::System => self.part(b'@', format_args!("@system")),
            Identity::User { user_id, role: Role::User, .. } => self.part(b'@', format_args!("@{user_id}")),
            Identity::User { user_id, role, .. } => self.part(b'@', format_args!("@{user_id}.{}", role.name())),
        }
    }

    /// The same with one more part. `prefix` is what a digest of it begins with, and the only character beside the plain
    /// ones that the part itself may have.
    fn part(&self, prefix: u8, part: impl fmt::Display) -> Self {
        let bytes = self.bytes();
        let parts = self.parts();
        // Where there is no room below, the last part takes the new one in: a digest of both, and one part.
        let (keep, most) = if parts < MOST_KEY_PARTS {
            // The parts that may still come need room as digests.
            let reserved = (MOST_KEY_PARTS - parts - 1) * (DIGEST_BYTES + 1);
            (bytes.len(), MOST_KEY_BYTES.saturating_sub(bytes.len() + 1 + reserved))
        } else {
            (bytes.iter().rposition(|byte| *byte == b':').unwrap_or(0), 0)
        };
        let mut text = Part::new(prefix, most);
        text.add(bytes.get(keep + 1..).unwrap_or_default());
        // A `Display` that fails has written what it could: the digest is of that.
        let _ = write!(text, "{part}");
        let (part, length) = text.finish();
        let mut front = [0; MOST_KEY_BYTES + 1];
        front[..keep].copy_from_slice(&bytes[..keep]);
        front[keep] = b':';
        Self::joined(&front[..=keep], &part[..length])
    }

    fn joined(front: &[u8], back: &[u8]) -> Self {
        let length = front.len() + back.len();
        if length <= SHORT {
            let mut bytes = [0; SHORT];
            bytes[..front.len()].copy_from_slice(front);
            bytes[front.len()..length].copy_from_slice(back);
            return Self(Text::Short { length: length as u8, bytes });
        }
        Self(Text::Long([front, back].concat().into()))
    }

    /// A key another node wrote down; none if it is not one.
    pub(crate) fn read(text: &[u8]) -> Option<Self> {
        let is_plain = |byte: &u8| is_plain(*byte) || b":~@".contains(byte);
        let is_one = (1..=MOST_KEY_BYTES).contains(&text.len()) && text.iter().all(is_plain);
        is_one.then(|| Self::joined(&[], text)).filter(|key| key.parts() <= MOST_KEY_PARTS)
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        match &self.0 {
            Text::Short { length, bytes } => &bytes[..usize::from(*length)],
            Text::Long(bytes) => bytes,
        }
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        // All of it is ASCII.
        std::str::from_utf8(self.bytes()).unwrap_or_default()
    }

    /// The first part.
    pub fn entity(&self) -> &str {
        self.as_str().split(':').next().unwrap_or_default()
    }

    /// Whether it is `above` itself, or has all its parts and more.
    pub fn is_under(&self, above: &Key) -> bool {
        let rest = self.bytes().strip_prefix(above.bytes());
        rest.is_some_and(|rest| rest.is_empty() || rest[0] == b':')
    }

    fn parts(&self) -> usize {
        self.bytes().iter().filter(|byte| **byte == b':').count() + 1
    }

    /// The keys of everything it is under, itself included.
    #[cfg(feature = "redis")]
    pub(crate) fn keys_above(&self) -> impl Iterator<Item = Self> {
        self.levels().map(|level| Self::joined(&[], level))
    }

    /// The key of its entity.
    #[cfg(feature = "redis")]
    pub(crate) fn above_all(&self) -> Self {
        self.keys_above().next().unwrap_or_else(|| self.clone())
    }

    /// The texts of everything it is under, the shortest first, itself last.
    pub(crate) fn levels(&self) -> impl Iterator<Item = &[u8]> {
        let bytes = self.bytes();
        let ends = bytes.iter().enumerate().filter(|(_, byte)| **byte == b':').map(|(at, _)| at);
        ends.chain([bytes.len()]).map(|end| &bytes[..end])
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.bytes() == other.bytes()
    }
}

impl Eq for Key {}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write(self.bytes());
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What values of several entities have in common, so that they can be forgotten together: `author:usr_…`. Written like
/// a [`Key`], and apart from all keys.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Tag(Key);

impl Tag {
    /// A tag of this name.
    pub fn of(name: &str) -> Self {
        Self(Key::of(name))
    }

    /// The same with the id of which one it is.
    #[must_use]
    pub fn id(&self, id: impl fmt::Display) -> Self {
        Self(self.0.id(id))
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        self.0.bytes()
    }

    /// A tag another node wrote down; none if it is not one.
    #[cfg(feature = "redis")]
    pub(crate) fn read(text: &[u8]) -> Option<Self> {
        Key::read(text).map(Self)
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What is to be forgotten.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Target {
    /// What is kept under this key, and not what is under longer ones.
    Key(Key),
    /// What is kept under this key and everything below it: `Under(post)` is all of the entity, `Under(post:1)` all of
    /// one.
    Under(Key),
    /// What has this tag.
    Tag(Tag),
}

impl Target {
    /// Written for other nodes: `k`, `u` or `t` and the text. No text has a line's end in it.
    #[cfg(any(feature = "redis", test))]
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        let (kind, text) = match self {
            Self::Key(key) => (b'k', key.bytes()),
            Self::Under(key) => (b'u', key.bytes()),
            Self::Tag(tag) => (b't', tag.bytes()),
        };
        out.push(kind);
        out.extend_from_slice(text);
    }

    /// What another node wrote; none if this one does not know what it means.
    pub(crate) fn read(line: &[u8]) -> Option<Self> {
        let (kind, text) = line.split_first()?;
        let key = Key::read(text)?;
        Some(match kind {
            b'k' => Self::Key(key),
            b'u' => Self::Under(key),
            b't' => Self::Tag(Tag(key)),
            _ => return None,
        })
    }
}

const fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-')
}

/// A part as it is written: kept while it is plain and short, and only a digest from then on. Its text, which may be a
/// secret or without end, is never held.
struct Part {
    /// What its digest begins with.
    prefix: u8,
    /// The most bytes that a part may have unhashed.
    most: usize,
    kept: [u8; MOST_PART_BYTES],
    length: usize,
    digest: Option<Sha256>,
}

impl Part {
    fn new(prefix: u8, most: usize) -> Self {
        Self { prefix, most: most.min(MOST_PART_BYTES), kept: [0; MOST_PART_BYTES], length: 0, digest: None }
    }

    fn add(&mut self, text: &[u8]) {
        let end = self.length + text.len();
        if self.digest.is_none() && end <= self.most && text.iter().all(|byte| is_plain(*byte) || self.is_prefix(*byte))
        {
            self.kept[self.length..end].copy_from_slice(text);
            self.length = end;
            return;
        }
        let kept = &self.kept[..self.length];
        self.digest.get_or_insert_with(|| Sha256::new_with_prefix(kept)).update(text);
    }

    fn is_prefix(&self, byte: u8) -> bool {
        self.prefix == b'@' && byte == b'@'
    }

    /// What stands for it, and how long that is. An empty part is one too, and a digest: `a:` and `a` are not to be
    /// taken for each other.
    fn finish(self) -> ([u8; MOST_PART_BYTES], usize) {
        if self.digest.is_none() && (1..=self.most).contains(&self.length) {
            return (self.kept, self.length);
        }
        let kept = &self.kept[..self.length];
        let digest = self.digest.unwrap_or_else(|| Sha256::new_with_prefix(kept)).finalize();
        let mut out = [0; MOST_PART_BYTES];
        out[0] = self.prefix;
        // 16 bytes are 22 characters: there is room.
        let length = URL_SAFE_NO_PAD.encode_slice(&digest[..16], &mut out[1..]).unwrap_or(0);
        (out, length + 1)
    }
}

impl fmt::Write for Part {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.add(text.as_bytes());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use kernel::{Clock, Random, SessionId, Time, UserId};

    use super::*;

    #[test]
    fn a_key_is_its_parts() {
        let key = Key::of("post").id("pst_01h455vb4pex5vsknk084sn02q").field("view");
        assert_eq!(key.as_str(), "post:pst_01h455vb4pex5vsknk084sn02q:view");
        assert_eq!(key.entity(), "post");
        assert_eq!(key, Key::read(key.bytes()).unwrap());
        let levels: Vec<&[u8]> = key.levels().collect();
        assert_eq!(levels, [&b"post"[..], b"post:pst_01h455vb4pex5vsknk084sn02q", key.bytes()]);
    }

    #[test]
    fn is_under_goes_by_whole_parts() {
        let key = Key::of("post").id(12).field("view");
        for above in [Key::of("post"), Key::of("post").id(12), key.clone()] {
            assert!(key.is_under(&above), "{above}");
        }
        for other in [Key::of("pos"), Key::of("post").id(1), key.field("x"), Key::of("post").id(12).field("vie")] {
            assert!(!key.is_under(&other), "{other}");
        }
    }

    #[test]
    fn what_is_not_plain_is_a_digest_and_never_ambiguous() {
        let long = "a".repeat(41);
        for part in ["1:view", "", " ", "secret word", "~", "@system", "é", "a\nb", &long] {
            let key = Key::of("post").id(part);
            let text = key.as_str();
            assert!(text.starts_with("post:~") && text.len() == "post:".len() + DIGEST_BYTES, "{part:?}: {text}");
            assert_eq!(Key::of("post").id(part), key);
            // What a digest looks like cannot be handed in.
            assert_ne!(Key::of("post").id(&text["post:".len()..]), key);
        }
        assert_ne!(Key::of("post").id("1:view"), Key::of("post").id(1).field("view"));
        assert_ne!(Key::of("post").id(""), Key::of("post"));
        assert_eq!(Key::of("post").id("a".repeat(40)).as_str().len(), 45);
        // The digest is of all of it, however it came.
        let halves = format_args!("{}{}", "plain", " not").to_string();
        assert_eq!(Key::of("a").id(format_args!("{}{}", "plain", " not")), Key::of("a").id(halves));
        assert_ne!(Key::of("a").id(format!("{long}b")), Key::of("a").id(format!("{long}c")));
    }

    #[test]
    fn a_key_has_a_bound_whatever_it_is_made_of() {
        for part in ["x".repeat(40), "y".repeat(4000), "1".to_owned()] {
            let mut key = Key::of(&"e".repeat(32));
            for _ in 0..20 {
                let longer = key.id(&part);
                assert!(longer.as_str().len() <= MOST_KEY_BYTES && longer.parts() <= MOST_KEY_PARTS);
                assert_ne!(longer, key);
                assert!(longer.is_under(&Key::of(&"e".repeat(32))));
                if key.parts() < MOST_KEY_PARTS {
                    assert!(longer.is_under(&key));
                }
                assert_eq!(Key::read(longer.bytes()), Some(longer.clone()));
                key = longer;
            }
        }
    }

    #[test]
    fn who_asks_is_a_part_nobody_can_hand_in() {
        let (clock, random) = (Clock::fake(Time::from_micros(1)), Random::seeded(1));
        let (user_id, session_id) = (UserId::new(&clock, &random), SessionId::new(&clock, &random));
        let user = |role| Identity::User { user_id, session_id, role };
        let page = Key::of("page");
        let all = [
            page.by(&Identity::Anonymous),
            page.by(&Identity::System),
            page.by(&user(Role::User)),
            page.by(&user(Role::Admin)),
        ];
        assert_eq!(all[0].as_str(), "page:@anonymous");
        assert_eq!(all[2].as_str(), format!("page:@{user_id}"));
        assert_eq!(all[3].as_str(), format!("page:@{user_id}.admin"));
        // Where there is little room, too.
        let mut tight = Key::of(&"e".repeat(32));
        for _ in 0..MOST_KEY_PARTS {
            let by = tight.by(&user(Role::Admin));
            assert!(by.as_str().len() <= MOST_KEY_BYTES);
            assert_ne!(tight.id(format_args!("@{user_id}.admin")), by);
            tight = tight.id("x".repeat(40));
        }
        for key in &all {
            assert_ne!(&page.id(&key.as_str()["page:".len()..]), key);
            assert_eq!(all.iter().filter(|other| *other == key).count(), 1);
        }
    }

    #[test]
    fn a_target_is_read_as_it_was_written() {
        for target in [
            Target::Key(Key::of("a").id("x y")),
            Target::Under(Key::of("a").by(&Identity::Anonymous)),
            Target::Tag(Tag::of("author").id(7)),
        ] {
            let mut line = Vec::new();
            target.write(&mut line);
            assert_eq!(Target::read(&line), Some(target));
        }
        for line in [&b""[..], b"k", b"x1", b"ka b", b"ka\n", b"t1:2:3:4:5:6:7:8:9"] {
            assert_eq!(Target::read(line), None, "{line:?}");
        }
    }
}
