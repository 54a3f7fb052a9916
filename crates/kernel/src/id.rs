use std::fmt;
use std::hash::{Hash, Hasher};
use std::marker::PhantomData;
use std::str::FromStr;

use uuid::Uuid;

use crate::{Clock, Random, Text, text};

/// What an [`Id`] identifies: the marker behind each id type.
pub trait IdKind: 'static {
    /// The readable prefix on the wire, without the underscore: `usr`.
    const PREFIX: &'static str;
    /// The name of the id's schema in the API document: `UserId`.
    const NAME: &'static str;
}

/// A typed id: UUIDv7 (RFC 9562 section 5.7) inside, `usr_01h455vb4pex5vsknk084sn02q` outside (the TypeID form:
/// a prefix and 26 characters of Crockford base32, so that text sorts as the bytes do).
///
/// Each kind is a Rust type of its own: `type PostId = Id<PostKind>`.
pub struct Id<K> {
    uuid: Uuid,
    kind: PhantomData<fn() -> K>,
}

impl<K: IdKind> Id<K> {
    /// A new id, ordered by the clock's microseconds: the 12 bits after the milliseconds hold their fraction (RFC 9562
    /// section 6.2, method 3).
    pub fn new(clock: &Clock, random: &Random) -> Self {
        let mut tail = [0; 10];
        random.fill(&mut tail);
        let micros = u64::try_from(clock.now().as_micros()).unwrap_or(0);
        let millis = micros / 1000;
        let fraction = (micros % 1000) * 4096 / 1000;
        tail[0] = (fraction >> 8) as u8;
        tail[1] = (fraction & 255) as u8;
        Self::from_uuid(uuid::Builder::from_unix_timestamp_millis(millis, &tail).into_uuid())
    }

    /// The id with these bytes, as the store keeps it.
    pub const fn from_uuid(uuid: Uuid) -> Self {
        Self { uuid, kind: PhantomData }
    }

    /// The bytes, as the store keeps them.
    pub const fn as_uuid(&self) -> Uuid {
        self.uuid
    }

    /// The same bytes as an id of another kind: for the one noun that two domains know by different names
    /// (an account and its profile).
    pub const fn cast<J: IdKind>(self) -> Id<J> {
        Id::from_uuid(self.uuid)
    }
}

/// Names the kind behind an id type, for what is written out by macros.
pub trait IdOf {
    /// Its kind.
    type Kind: IdKind;
}

impl<K: IdKind> IdOf for Id<K> {
    type Kind = K;
}

const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// The value of each character, or 255. Upper case is refused: one id has one spelling.
const VALUES: [u8; 256] = {
    let mut table = [255; 256];
    let mut i = 0;
    while i < 32 {
        table[ALPHABET[i] as usize] = i as u8;
        i += 1;
    }
    table
};

fn encode(uuid: Uuid, out: &mut [u8; 26]) {
    let mut bits = uuid.as_u128();
    for slot in out.iter_mut().rev() {
        *slot = ALPHABET[(bits & 31) as usize];
        bits >>= 5;
    }
}

fn decode(text: &[u8]) -> Option<Uuid> {
    // 26 characters carry 130 bits; the two above 128 must be zero, so the first character is at most '7'.
    if text.len() != 26 || VALUES[text[0] as usize] > 7 {
        return None;
    }
    let mut bits: u128 = 0;
    for c in text {
        let value = VALUES[*c as usize];
        if value == 255 {
            return None;
        }
        bits = bits << 5 | u128::from(value);
    }
    Some(Uuid::from_u128(bits))
}

impl<K: IdKind> fmt::Display for Id<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0; 26];
        encode(self.uuid, &mut text);
        f.write_str(K::PREFIX)?;
        f.write_str("_")?;
        // The alphabet is ASCII.
        f.write_str(std::str::from_utf8(&text).map_err(|_| fmt::Error)?)
    }
}

impl<K: IdKind> fmt::Debug for Id<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text is not an id of this kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdError {
    prefix: &'static str,
}

impl IdError {
    /// What an id looks like, for the caller.
    pub fn text(&self) -> Text {
        text!("an id here is `{prefix}_` and 26 characters", prefix = self.prefix)
    }
}

impl fmt::Display for IdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.text().fmt(f)
    }
}

impl std::error::Error for IdError {}

impl<K: IdKind> FromStr for Id<K> {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        text.strip_prefix(K::PREFIX)
            .and_then(|rest| rest.strip_prefix('_'))
            .and_then(|rest| decode(rest.as_bytes()))
            .map(Self::from_uuid)
            .ok_or(IdError { prefix: K::PREFIX })
    }
}

impl<K> Clone for Id<K> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<K> Copy for Id<K> {}
impl<K> PartialEq for Id<K> {
    fn eq(&self, other: &Self) -> bool {
        self.uuid == other.uuid
    }
}
impl<K> Eq for Id<K> {}
impl<K> Hash for Id<K> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.uuid.hash(state);
    }
}
impl<K> PartialOrd for Id<K> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl<K> Ord for Id<K> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.uuid.cmp(&other.uuid)
    }
}

impl<K: IdKind> serde::Serialize for Id<K> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de, K: IdKind> serde::Deserialize<'de> for Id<K> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl<K: IdKind> schemars::JsonSchema for Id<K> {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        K::NAME.into()
    }

    fn schema_id() -> std::borrow::Cow<'static, str> {
        format!("mainstay::Id<{}>", std::any::type_name::<K>()).into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "pattern": format!("^{}_[0-7][0-9a-hjkmnp-tv-z]{{25}}$", K::PREFIX),
            "examples": [format!("{}_01m80enmmred9rnpccrj61eved", K::PREFIX)],
            "x-rust-type": std::any::type_name::<K>(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Time, UserId};

    #[test]
    fn an_id_prints_as_typeid_and_reads_back() {
        // The example of the TypeID specification, version 0.3: valid.yml, "valid-uuidv7".
        let uuid = Uuid::parse_str("01890a5d-ac96-774b-bcce-b302099a8057").unwrap();
        let id = UserId::from_uuid(uuid);
        assert_eq!(id.to_string(), "usr_01h455vb4pex5vsknk084sn02q");
        assert_eq!("usr_01h455vb4pex5vsknk084sn02q".parse(), Ok(id));
    }

    #[test]
    fn an_id_has_one_spelling() {
        for text in [
            "",
            "usr",
            "usr_",
            "key_01h455vb4pex5vsknk084sn02q",
            "usr_01H455VB4PEX5VSKNK084SN02Q",
            "usr_81h455vb4pex5vsknk084sn02q",
            "usr_01h455vb4pex5vsknk084sn02",
            "usr_01h455vb4pex5vsknk084sn02qq",
            "usr_o1h455vb4pex5vsknk084sn02q",
            "01h455vb4pex5vsknk084sn02q",
            "usr_01h455vb4pex5vsknk084sn02\u{ac00}",
        ] {
            assert!(text.parse::<UserId>().is_err(), "{text}");
        }
    }

    #[test]
    fn ids_sort_by_their_time() {
        let clock = Clock::fake(Time::from_micros(1_000_000_000_000_000));
        let random = Random::os();
        let a = UserId::new(&clock, &random);
        clock.advance(std::time::Duration::from_micros(1));
        let b = UserId::new(&clock, &random);
        assert!(a < b && a.to_string() < b.to_string());
    }
}
