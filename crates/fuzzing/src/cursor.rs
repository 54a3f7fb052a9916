use mainstay::kernel::Time;
use mainstay::resource::Cursors;
use mainstay::store::Value;
use uuid::Uuid;

use crate::bytes::Bytes;

/// The longest cursor that is read.
const MOST_CHARACTERS: usize = 4096;

/// Cursors: what was made is read back, in its own list alone; nothing else is read at all.
///
/// The first line names a list, the second is taken for a cursor of it; then come how to bend a genuine one, and the
/// values that stand in that.
pub fn cursor(data: &[u8]) {
    let mut bytes = Bytes(data);
    let (list, text) = (bytes.text(), bytes.text());
    let (place, bend) = (usize::from(u16::from_le_bytes([bytes.byte(), bytes.byte()])), bytes.byte());
    let mut values = Vec::new();
    while !bytes.is_empty() && values.len() < 8 {
        values.push(value(&mut bytes));
    }
    let cursors = Cursors::new([7; 32]);

    // Nobody but the key's owner can make one: what is read is, letter for letter, what would have been written.
    if let Some(read) = cursors.read(&list, &text) {
        assert_eq!(cursors.write(&list, &read), text, "a cursor has two spellings");
    }

    let genuine = cursors.write(&list, &values);
    let read = cursors.read(&list, &genuine);
    if genuine.len() > MOST_CHARACTERS {
        assert_eq!(read, None, "longer than any cursor that is read");
        return;
    }
    assert_eq!(read, Some(values), "a genuine cursor is read back");
    assert_eq!(cursors.read(&format!("{list} "), &genuine), None, "another list");
    assert_eq!(cursors.read(&text, &genuine).is_some(), text == list, "another list, made up");
    assert_eq!(Cursors::new([8; 32]).read(&list, &genuine), None, "another key");
    let place = place % genuine.len();
    let mut bent = genuine.clone().into_bytes();
    bent[place] ^= bend & 0x7f;
    if let Ok(bent) = String::from_utf8(bent) {
        assert_eq!(cursors.read(&list, &bent).is_some(), bent == genuine, "one letter is another");
    }
    assert_eq!(cursors.read(&list, &genuine[..place]), None, "cut off");
    assert_eq!(cursors.read(&list, &format!("{genuine}{}", &genuine[place..])), None, "too long");
}

fn value(bytes: &mut Bytes<'_>) -> Value {
    match bytes.byte() % 7 {
        0 => Value::Null,
        1 => Value::Bool(bytes.byte() & 1 == 1),
        2 => Value::Int(bytes.number()),
        3 => Value::Text(bytes.text()),
        4 => Value::Decimal(bytes.number()),
        5 => Value::Time(Time::from_micros(bytes.number())),
        _ => Value::Id(Uuid::from_u64_pair(bytes.number() as u64, bytes.number() as u64)),
    }
}
