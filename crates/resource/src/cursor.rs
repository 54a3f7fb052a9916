use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use blake2::Blake2bMac;
use blake2::digest::consts::U16;
use blake2::digest::{KeyInit, Mac};
use kernel::Time;
use serde_json::json;
use store::Value;
use uuid::Uuid;

/// Makes and reads cursors: the place in a list where the next page begins. Opaque, and bound by a MAC to the list they
/// were made for (its name, order and filters), so that none can be made up or carried over.
#[derive(Clone)]
pub struct Cursors {
    key: [u8; 32],
}

impl std::fmt::Debug for Cursors {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Cursors")
    }
}

impl web::Service for Cursors {}

const MAC_BYTES: usize = 16;
/// Longer texts are not ours.
const MOST_CHARACTERS: usize = 4096;

impl Cursors {
    /// With this key.
    pub const fn new(key: [u8; 32]) -> Self {
        Self { key }
    }

    fn mac(&self, list: &str) -> Blake2bMac<U16> {
        // A key of 32 bytes is within BLAKE2b's bounds.
        let Ok(mut mac) = <Blake2bMac<U16> as KeyInit>::new_from_slice(&self.key) else { unreachable!() };
        mac.update(&(list.len() as u64).to_le_bytes());
        mac.update(list.as_bytes());
        mac
    }

    /// The cursor after a row with these values, in the list that `list` describes.
    pub fn write(&self, list: &str, values: &[Value]) -> String {
        let payload = serde_json::Value::Array(values.iter().map(to_json).collect()).to_string();
        let mut mac = self.mac(list);
        mac.update(payload.as_bytes());
        let mut bytes = mac.finalize().into_bytes().to_vec();
        bytes.extend_from_slice(payload.as_bytes());
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// The values in a cursor; none when it was not made here for this list.
    pub fn read(&self, list: &str, cursor: &str) -> Option<Vec<Value>> {
        if cursor.len() > MOST_CHARACTERS {
            return None;
        }
        let bytes = URL_SAFE_NO_PAD.decode(cursor).ok()?;
        let (tag, payload) = bytes.split_at_checked(MAC_BYTES)?;
        let mut mac = self.mac(list);
        mac.update(payload);
        mac.verify_slice(tag).ok()?;
        let values: serde_json::Value = serde_json::from_slice(payload).ok()?;
        values.as_array()?.iter().map(from_json).collect()
    }
}

fn to_json(value: &Value) -> serde_json::Value {
    match value {
        Value::Id(id) => json!({ "id": id.simple().to_string() }),
        Value::Time(time) => json!({ "time": time.as_micros() }),
        Value::Bool(bool) => json!(bool),
        Value::Int(int) => json!(int),
        Value::Text(text) => json!(text),
        Value::Decimal(minor) => json!({ "decimal": minor }),
        // Columns of these kinds cannot be sorted by.
        Value::Null | Value::Blob(_) | Value::Json(_) => json!(null),
    }
}

fn from_json(value: &serde_json::Value) -> Option<Value> {
    Some(match value {
        serde_json::Value::Null => Value::Null,
        serde_json::Value::Bool(bool) => Value::Bool(*bool),
        serde_json::Value::Number(number) => Value::Int(number.as_i64()?),
        serde_json::Value::String(text) => Value::Text(text.clone()),
        serde_json::Value::Object(fields) => match fields.iter().next()? {
            (name, inner) if name == "id" => Value::Id(Uuid::parse_str(inner.as_str()?).ok()?),
            (name, inner) if name == "time" => Value::Time(Time::from_micros(inner.as_i64()?)),
            (name, inner) if name == "decimal" => Value::Decimal(inner.as_i64()?),
            _ => return None,
        },
        serde_json::Value::Array(_) => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_only_where_it_was_made() {
        let cursors = Cursors::new([7; 32]);
        let values = vec![
            Value::Text("가\"x".into()),
            Value::Null,
            Value::Int(-5),
            Value::Bool(true),
            Value::Decimal(-1),
            Value::Time(Time::from_micros(1)),
            Value::Id(Uuid::from_u128(9)),
        ];
        let cursor = cursors.write("posts|-id", &values);
        assert_eq!(cursors.read("posts|-id", &cursor), Some(values));
        assert_eq!(cursors.read("posts|id", &cursor), None);
        assert_eq!(Cursors::new([8; 32]).read("posts|-id", &cursor), None);
        for forged in
            ["", "x", "====", &cursor[1..], &format!("{cursor}A"), &"A".repeat(5000), "AAAAAAAAAAAAAAAAAAAAAAAAAAAA"]
        {
            assert_eq!(cursors.read("posts|-id", forged), None, "{forged}");
        }
        // Every single changed character is noticed, but for the unused low bits of the last one, which are refused too.
        for i in 0..cursor.len() {
            let mut bytes = cursor.clone().into_bytes();
            bytes[i] = if bytes[i] == b'A' { b'B' } else { b'A' };
            assert_eq!(cursors.read("posts|-id", std::str::from_utf8(&bytes).unwrap()), None);
        }
    }
}
