//! Values to and from PostgreSQL's binary form, by the type the server infers or tells.

use bytes::{BufMut, BytesMut};
use kernel::Time;
use tokio_postgres::types::{FromSql, IsNull, Kind, ToSql, Type, to_sql_checked};
use uuid::Uuid;

use crate::value::canonical_json;
use crate::{Cause, Cell, StoreError, Value};

/// 2000-01-01T00:00:00Z, from which PostgreSQL counts, in microseconds since 1970.
const EPOCH: i64 = 946_684_800_000_000;

impl ToSql for Value {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, Cause> {
        match (self, ty) {
            (Value::Null, _) => return Ok(IsNull::Yes),
            (Value::Id(id), &Type::UUID) => out.put_slice(id.as_bytes()),
            (Value::Time(time), &Type::TIMESTAMPTZ | &Type::TIMESTAMP) => out.put_i64(time.as_micros() - EPOCH),
            (Value::Bool(value), &Type::BOOL) => out.put_u8((*value).into()),
            (Value::Int(value) | Value::Decimal(value), ty) => put_int(*value, ty, out)?,
            (Value::Text(text), &Type::TEXT | &Type::VARCHAR | &Type::BPCHAR | &Type::NAME | &Type::UNKNOWN) => {
                out.put_slice(text.as_bytes());
            }
            (Value::Blob(bytes), &Type::BYTEA) => out.put_slice(bytes),
            (Value::Json(json), &Type::JSONB) => {
                // The version of jsonb's binary form.
                out.put_u8(1);
                out.put_slice(canonical_json(json).as_bytes());
            }
            (Value::Json(json), &Type::JSON | &Type::TEXT) => out.put_slice(canonical_json(json).as_bytes()),
            (value, ty) => return Err(unfit(value, ty)),
        }
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

/// The type a value is sent as where the server is not asked what it expects: that of the column the value is made for.
/// What is nothing has any type.
pub(crate) fn parameter_type(value: &Value) -> Type {
    match value {
        Value::Null => Type::new("unspecified".to_owned(), 0, Kind::Pseudo, "pg_catalog".to_owned()),
        Value::Id(_) => Type::UUID,
        Value::Time(_) => Type::TIMESTAMPTZ,
        Value::Bool(_) => Type::BOOL,
        Value::Int(_) | Value::Decimal(_) => Type::INT8,
        Value::Text(_) => Type::TEXT,
        Value::Blob(_) => Type::BYTEA,
        Value::Json(_) => Type::JSONB,
    }
}

fn unfit(value: &Value, ty: &Type) -> Cause {
    format!("a parameter is {}, and the statement takes {ty} there", value.kind()).into()
}

fn put_int(value: i64, ty: &Type, out: &mut BytesMut) -> Result<(), Cause> {
    match *ty {
        Type::INT8 => out.put_i64(value),
        Type::INT4 => out.put_i32(value.try_into()?),
        Type::INT2 => out.put_i16(value.try_into()?),
        Type::FLOAT8 => out.put_f64(value as f64),
        // Where an int meets a sum: `HAVING sum(amount) > $1`.
        Type::NUMERIC => put_numeric(value, out),
        _ => return Err(unfit(&Value::Int(value), ty)),
    }
    Ok(())
}

/// A whole number as `numeric`: digits to the base of 10,000, most significant first (numeric_send in PostgreSQL's
/// numeric.c).
fn put_numeric(value: i64, out: &mut BytesMut) {
    let mut digits = Vec::new();
    let mut rest = value.unsigned_abs();
    while rest > 0 {
        digits.push((rest % 10_000) as u16);
        rest /= 10_000;
    }
    out.put_u16(digits.len() as u16);
    out.put_i16(digits.len() as i16 - 1);
    out.put_u16(if value < 0 { 0x4000 } else { 0 });
    out.put_u16(0);
    for digit in digits.iter().rev() {
        out.put_u16(*digit);
    }
}

/// A value as the server sent it, whatever its type.
struct Raw<'a> {
    ty: Type,
    bytes: Option<&'a [u8]>,
}

impl<'a> FromSql<'a> for Raw<'a> {
    fn from_sql(ty: &Type, raw: &'a [u8]) -> Result<Self, Cause> {
        Ok(Raw { ty: ty.clone(), bytes: Some(raw) })
    }

    fn from_sql_null(ty: &Type) -> Result<Self, Cause> {
        Ok(Raw { ty: ty.clone(), bytes: None })
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

/// One value of a row.
pub(crate) fn cell(row: &tokio_postgres::Row, index: usize) -> Result<Cell<'_>, StoreError> {
    let raw: Raw<'_> = row.try_get(index).map_err(StoreError::internal)?;
    let Some(bytes) = raw.bytes else { return Ok(Cell::Null) };
    read(&raw.ty, bytes).ok_or_else(|| {
        StoreError::internal(format!("column {index} is {}, which has no counterpart on SQLite; cast it", raw.ty))
    })
}

fn read<'a>(ty: &Type, bytes: &'a [u8]) -> Option<Cell<'a>> {
    Some(match *ty {
        Type::INT8 => Cell::Int(i64::from_be_bytes(bytes.try_into().ok()?)),
        Type::INT4 => Cell::Int(i32::from_be_bytes(bytes.try_into().ok()?).into()),
        Type::INT2 => Cell::Int(i16::from_be_bytes(bytes.try_into().ok()?).into()),
        Type::OID => Cell::Int(u32::from_be_bytes(bytes.try_into().ok()?).into()),
        Type::FLOAT8 => Cell::Real(f64::from_be_bytes(bytes.try_into().ok()?)),
        Type::FLOAT4 => Cell::Real(f32::from_be_bytes(bytes.try_into().ok()?).into()),
        Type::NUMERIC => numeric(bytes)?,
        Type::BOOL => Cell::Bool(bytes != [0]),
        Type::UUID => Cell::Id(Uuid::from_slice(bytes).ok()?),
        Type::TIMESTAMPTZ | Type::TIMESTAMP => {
            Cell::Time(Time::from_micros(i64::from_be_bytes(bytes.try_into().ok()?).saturating_add(EPOCH)))
        }
        Type::BYTEA => Cell::Blob(bytes),
        Type::TEXT | Type::VARCHAR | Type::BPCHAR | Type::NAME | Type::UNKNOWN | Type::JSON => {
            Cell::Text(std::str::from_utf8(bytes).ok()?)
        }
        Type::JSONB => match bytes {
            [1, text @ ..] => Cell::Text(std::str::from_utf8(text).ok()?),
            _ => return None,
        },
        // What a function without a result gives: `SELECT pg_advisory_xact_lock(…)`.
        Type::VOID => Cell::Null,
        _ => return None,
    })
}

/// Sums of `bigint` are `numeric` here and whole numbers on SQLite; averages have a fraction on both.
fn numeric(bytes: &[u8]) -> Option<Cell<'static>> {
    let word = |at: usize| Some(u16::from_be_bytes(bytes.get(at * 2..at * 2 + 2)?.try_into().ok()?));
    let (count, weight, sign) = (word(0)?, word(1)? as i16, word(2)?);
    if sign != 0 && sign != 0x4000 {
        return None;
    }
    let mut whole: i128 = 0;
    let mut real = 0.0;
    let mut is_whole = true;
    for i in 0..count {
        let digit = word(4 + usize::from(i))?;
        let power = i32::from(weight) - i32::from(i);
        real += f64::from(digit) * 10_000f64.powi(power);
        if power < 0 {
            is_whole &= digit == 0;
        } else if power > 6 {
            // More than any i64.
            is_whole &= digit == 0;
        } else {
            whole += i128::from(digit) * 10_000i128.pow(power.unsigned_abs());
        }
    }
    let negative = sign == 0x4000;
    match i64::try_from(if negative { -whole } else { whole }) {
        Ok(whole) if is_whole => Some(Cell::Int(whole)),
        _ => Some(Cell::Real(if negative { -real } else { real })),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_survive_as_numeric() {
        for value in [0, 1, -1, 9_999, 10_000, -10_001, 1_000_000_000_000, i64::MAX, i64::MIN] {
            let mut out = BytesMut::new();
            put_numeric(value, &mut out);
            assert_eq!(numeric(&out), Some(Cell::Int(value)));
        }
        // 1.5 and -0.25 as PostgreSQL sends them.
        assert_eq!(numeric(&[0, 2, 0, 0, 0, 0, 0, 1, 0, 1, 0x13, 0x88]), Some(Cell::Real(1.5)));
        assert_eq!(numeric(&[0, 1, 0xff, 0xff, 0x40, 0, 0, 2, 0x09, 0xc4]), Some(Cell::Real(-0.25)));
        // NaN.
        assert_eq!(numeric(&[0, 0, 0, 0, 0xc0, 0, 0, 0]), None);
    }
}
