use proc_macro2::TokenStream;
use quote::quote;
use syn::{Data, DeriveInput, Fields, Result, parse2};

use crate::attributes::error;

pub(crate) fn expand(item: TokenStream) -> Result<TokenStream> {
    let item: DeriveInput = parse2(item)?;
    let name = &item.ident;
    let Data::Struct(data) = &item.data else { return Err(error(name, "a row is a struct")) };
    let Fields::Named(fields) = &data.fields else { return Err(error(name, "a row has named fields")) };
    let idents: Vec<_> = fields.named.iter().filter_map(|f| f.ident.as_ref()).collect();
    let columns: Vec<String> = idents.iter().map(|i| i.to_string().trim_start_matches("r#").to_owned()).collect();
    let list = columns.join(", ");
    let indexes = 0..idents.len();
    Ok(quote! {
        #[automatically_derived]
        impl #name {
            /// The columns this row is read from, in order, for a `select`.
            pub const COLUMNS: &'static str = #list;
        }

        #[automatically_derived]
        impl ::mainstay::store::FromRow for #name {
            fn from_row(row: &::mainstay::store::Row<'_>) -> ::core::result::Result<Self, ::mainstay::store::StoreError> {
                ::core::result::Result::Ok(Self { #(#idents: row.get(#indexes)?),* })
            }
        }
    })
}
