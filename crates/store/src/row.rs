use kernel::{Blob, Decimal, Id, IdKind, Json, Role, Time};
use uuid::Uuid;

use crate::StoreError;

/// One row as a database gave it. Columns are read by position, in the order of the `SELECT` list.
#[derive(Debug)]
pub struct Row<'a>(pub(crate) Source<'a>);

#[derive(Debug)]
pub(crate) enum Source<'a> {
    Sqlite(&'a rusqlite::Row<'a>, usize),
    Postgres(&'a tokio_postgres::Row),
}

impl Row<'_> {
    /// The value in column `index`, from 0.
    ///
    /// # Errors
    /// When there is no such column, or it does not hold a `T`: a bug in the statement or in the row type.
    pub fn get<T: Column>(&self, index: usize) -> Result<T, StoreError> {
        let cell = match &self.0 {
            Source::Sqlite(row, width) => {
                if index >= *width {
                    return Err(self.no_column(index));
                }
                crate::sqlite::cell(row, index).map_err(|error| self.unreadable(index, error))?
            }
            Source::Postgres(row) => {
                if index >= row.len() {
                    return Err(self.no_column(index));
                }
                crate::postgres::cell(row, index).map_err(|error| self.unreadable(index, error))?
            }
        };
        let kind = cell.kind();
        T::from_cell(cell).ok_or_else(|| {
            let what = format!("{kind}, which is not a {}", std::any::type_name::<T>());
            StoreError::internal(format!("{} holds {what}", self.place(index)))
        })
    }

    /// A column for the log: its name, and of which row, where that begins with an id or a number. Other values are
    /// people's data.
    fn place(&self, index: usize) -> String {
        let first = match &self.0 {
            Source::Sqlite(row, _) => crate::sqlite::cell(row, 0),
            Source::Postgres(row) => crate::postgres::cell(row, 0),
        };
        let row = match first {
            Ok(Cell::Id(id)) => format!(" of the row {id}"),
            Ok(Cell::Blob(bytes)) => Uuid::from_slice(bytes).map_or(String::new(), |id| format!(" of the row {id}")),
            Ok(Cell::Int(number)) if index > 0 => format!(" of the row {number}"),
            _ => String::new(),
        };
        let name = match &self.0 {
            Source::Sqlite(row, _) => row.as_ref().column_name(index).unwrap_or_default().to_owned(),
            Source::Postgres(row) => row.columns()[index].name().to_owned(),
        };
        format!("column {index} (`{name}`){row}")
    }

    /// How many columns there are.
    pub fn len(&self) -> usize {
        match &self.0 {
            Source::Sqlite(_, width) => *width,
            Source::Postgres(row) => row.len(),
        }
    }

    /// Whether there are no columns.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn unreadable(&self, index: usize, error: StoreError) -> StoreError {
        use std::error::Error as _;
        let cause = error.source().map_or_else(|| error.to_string(), ToString::to_string);
        let what = format!("{} cannot be read: {cause}", self.place(index));
        match error {
            StoreError::Corrupt { .. } => StoreError::Corrupt { source: what.into() },
            _ => StoreError::internal(what),
        }
    }

    fn no_column(&self, index: usize) -> StoreError {
        StoreError::internal(format!("column {index} was asked for, and the row has {}", self.len()))
    }
}

/// One value as either database gives it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Cell<'a> {
    /// Nothing.
    Null,
    /// A whole number. SQLite gives times, bools and decimals like this too.
    Int(i64),
    /// Yes or no (PostgreSQL).
    Bool(bool),
    /// A moment (PostgreSQL).
    Time(Time),
    /// An id (PostgreSQL).
    Id(Uuid),
    /// Text, and JSON as its text.
    Text(&'a str),
    /// Bytes. SQLite gives ids like this too.
    Blob(&'a [u8]),
    /// A floating-point number: an average, say. No column has this type.
    Real(f64),
}

impl Cell<'_> {
    pub(crate) const fn kind(&self) -> &'static str {
        match self {
            Cell::Null => "NULL",
            Cell::Int(_) => "an int",
            Cell::Bool(_) => "a bool",
            Cell::Time(_) => "a time",
            Cell::Id(_) => "an id",
            Cell::Text(_) => "text",
            Cell::Blob(_) => "a blob",
            Cell::Real(_) => "a floating-point number",
        }
    }
}

/// A Rust type that a column can be read as.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be read from a column",
    note = "columns are read as `Id<_>`, `Time`, `bool`, `i64`, `i32`, `u32`, `f64`, `String`, `Vec<u8>`, `Json`, \
            `Decimal<_>`, `Role`, or an `Option` of one; implement `store::Column` for a type of your own"
)]
pub trait Column: Sized {
    /// The value, unless the cell does not hold one.
    fn from_cell(cell: Cell<'_>) -> Option<Self>;
}

impl<K: IdKind> Column for Id<K> {
    fn from_cell(cell: Cell<'_>) -> Option<Self> {
        Uuid::from_cell(cell).map(Id::from_uuid)
    }
}

impl Column for Uuid {
    fn from_cell(cell: Cell<'_>) -> Option<Self> {
        match cell {
            Cell::Id(id) => Some(id),
            Cell::Blob(bytes) => Uuid::from_slice(bytes).ok(),
            _ => None,
        }
    }
}

impl Column for Time {
    fn from_cell(cell: Cell<'_>) -> Option<Self> {
        match cell {
            Cell::Time(time) => Some(time),
            Cell::Int(micros) => Some(Time::from_micros(micros)),
            _ => None,
        }
    }
}

impl Column for bool {
    fn from_cell(cell: Cell<'_>) -> Option<Self> {
        match cell {
            Cell::Bool(value) => Some(value),
            Cell::Int(0) => Some(false),
            Cell::Int(1) => Some(true),
            _ => None,
        }
    }
}

impl Column for i64 {
    fn from_cell(cell: Cell<'_>) -> Option<Self> {
        match cell {
            Cell::Int(value) => Some(value),
            _ => None,
        }
    }
}

macro_rules! narrower_ints {
    ($($int:ty)*) => {$(
        impl Column for $int {
            fn from_cell(cell: Cell<'_>) -> Option<Self> {
                i64::from_cell(cell).and_then(|value| value.try_into().ok())
            }
        }
    )*};
}
narrower_ints!(i32 u16 u32 u64);

impl Column for f64 {
    fn from_cell(cell: Cell<'_>) -> Option<Self> {
        match cell {
            Cell::Real(value) => Some(value),
            // PostgreSQL prints an average without a fraction as a whole number.
            Cell::Int(value) => Some(value as f64),
            _ => None,
        }
    }
}

impl Column for String {
    fn from_cell(cell: Cell<'_>) -> Option<Self> {
        match cell {
            Cell::Text(text) => Some(text.to_owned()),
            _ => None,
        }
    }
}

impl Column for Blob {
    fn from_cell(cell: Cell<'_>) -> Option<Self> {
        Column::from_cell(cell).map(Blob)
    }
}

impl Column for Vec<u8> {
    fn from_cell(cell: Cell<'_>) -> Option<Self> {
        match cell {
            Cell::Blob(bytes) => Some(bytes.to_vec()),
            _ => None,
        }
    }
}

impl<const N: usize> Column for [u8; N] {
    fn from_cell(cell: Cell<'_>) -> Option<Self> {
        match cell {
            Cell::Blob(bytes) => bytes.try_into().ok(),
            _ => None,
        }
    }
}

impl Column for Json {
    fn from_cell(cell: Cell<'_>) -> Option<Self> {
        match cell {
            Cell::Text(text) => {
                let mut value: serde_json::Value = serde_json::from_str(text).ok()?;
                value.sort_all_objects();
                Some(Json::new(value))
            }
            _ => None,
        }
    }
}

impl<const SCALE: u32> Column for Decimal<SCALE> {
    fn from_cell(cell: Cell<'_>) -> Option<Self> {
        i64::from_cell(cell).map(Decimal::from_minor)
    }
}

impl Column for Role {
    fn from_cell(cell: Cell<'_>) -> Option<Self> {
        match cell {
            Cell::Text(name) => Role::from_name(name),
            _ => None,
        }
    }
}

impl<T: Column> Column for Option<T> {
    fn from_cell(cell: Cell<'_>) -> Option<Self> {
        match cell {
            Cell::Null => Some(None),
            other => T::from_cell(other).map(Some),
        }
    }
}

/// A Rust type that a whole row can be read as. Normally derived (`derive(Row)`); tuples of up to eight columns have
/// it by themselves.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be read from a row",
    note = "derive it: `#[derive(Row)] struct …`, or read a tuple: `(i64,)`, `(PostId, String)`"
)]
pub trait FromRow: Sized + Send + 'static {
    /// The value, from the columns in their order.
    ///
    /// # Errors
    /// When a column is missing or does not hold what it should.
    fn from_row(row: &Row<'_>) -> Result<Self, StoreError>;
}

macro_rules! tuples {
    ($(($($column:ident $index:tt)+))+) => {$(
        impl<$($column: Column + Send + 'static),+> FromRow for ($($column,)+) {
            fn from_row(row: &Row<'_>) -> Result<Self, StoreError> {
                Ok(($(row.get::<$column>($index)?,)+))
            }
        }
    )+};
}
tuples! {
    (A 0)
    (A 0 B 1)
    (A 0 B 1 C 2)
    (A 0 B 1 C 2 D 3)
    (A 0 B 1 C 2 D 3 E 4)
    (A 0 B 1 C 2 D 3 E 4 F 5)
    (A 0 B 1 C 2 D 3 E 4 F 5 G 6)
    (A 0 B 1 C 2 D 3 E 4 F 5 G 6 H 7)
}
