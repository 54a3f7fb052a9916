use proc_macro2::{TokenStream, TokenTree};
use quote::quote;
use syn::{Data, DeriveInput, Fields, Result, parse_quote, parse2};

use crate::attributes::{Rules, check_field, error, last_name, type_mark};

pub(crate) fn expand_input(item: TokenStream) -> Result<TokenStream> {
    let mut item: DeriveInput = parse2(item)?;
    let name = item.ident.clone();
    let mark = type_mark(&name.to_string());
    let body = match &mut item.data {
        Data::Struct(data) => {
            let Fields::Named(fields) = &mut data.fields else {
                return Err(error(&name, "an input has named fields"));
            };
            let mut checks = Vec::new();
            for field in &mut fields.named {
                checks.push(check_field(field)?);
                let schema = Rules::read(&field.attrs)?.schema(&field.ty);
                field.attrs.retain(|a| !a.path().is_ident("check"));
                if !schema.is_empty() {
                    field.attrs.push(parse_quote!(#schema));
                }
                if last_name(&field.ty).as_deref() == Some("PatchField") {
                    field.attrs.push(parse_quote!(#[serde(default)]));
                }
            }
            quote!(#(#checks)*)
        }
        Data::Enum(data) => {
            if let Some(variant) = data.variants.iter().find(|v| !matches!(v.fields, Fields::Unit)) {
                return Err(error(variant, "an input enum is a choice of words: its variants have no fields"));
            }
            TokenStream::new()
        }
        Data::Union(_) => return Err(error(&name, "a union cannot be an input")),
    };
    let deny = match item.data {
        // `remote` makes what is derived a function of the type's own, to which the trait below gives objects alone.
        Data::Struct(_) => quote!(, deny_unknown_fields, remote = "Self"),
        _ => quote!(, rename_all = "snake_case"),
    };
    let (impl_generics, type_generics, where_clause) = item.generics.split_for_impl();
    let traits = matches!(item.data, Data::Struct(_)).then(|| serde_traits(&item));
    Ok(quote! {
        #[derive(::mainstay::__private::serde::Deserialize, ::mainstay::__private::schemars::JsonSchema)]
        #[serde(crate = "::mainstay::__private::serde" #deny)]
        #[schemars(crate = "::mainstay::__private::schemars", #mark)]
        #item

        #traits

        #[automatically_derived]
        impl #impl_generics ::mainstay::web::Check for #name #type_generics #where_clause {
            fn check(
                &mut self,
                _: ::mainstay::kernel::TextProfile,
                pointer: &mut ::mainstay::web::validate::Pointer,
                errors: &mut ::mainstay::kernel::ValidationErrors,
            ) {
                let _ = (&pointer, &errors);
                #body
            }
        }

        #[automatically_derived]
        impl #impl_generics ::mainstay::web::InputType for #name #type_generics #where_clause {}
    })
}

/// The trait by which an input is read, from an object and nothing else; and the one by which it is written, where its
/// author derives that: `remote` takes both away.
fn serde_traits(item: &DeriveInput) -> TokenStream {
    let name = &item.ident;
    let (_, type_generics, _) = item.generics.split_for_impl();
    let bounded = |bound: TokenStream| {
        let mut generics = item.generics.clone();
        for parameter in item.generics.type_params() {
            let parameter = &parameter.ident;
            generics.make_where_clause().predicates.push(parse_quote!(#parameter: #bound));
        }
        generics
    };
    let is_serialize = |token: TokenTree| matches!(token, TokenTree::Ident(word) if word == "Serialize");
    let mut derives = item.attrs.iter().filter(|a| a.path().is_ident("derive"));
    let is_written =
        derives.any(|a| a.meta.require_list().is_ok_and(|l| l.tokens.clone().into_iter().any(is_serialize)));
    let write = is_written.then(|| {
        let generics = bounded(quote!(::mainstay::__private::serde::Serialize));
        let (impl_generics, _, where_clause) = generics.split_for_impl();
        quote! {
            #[automatically_derived]
            impl #impl_generics ::mainstay::__private::serde::Serialize for #name #type_generics #where_clause {
                fn serialize<S: ::mainstay::__private::serde::Serializer>(
                    &self,
                    serializer: S,
                ) -> ::core::result::Result<S::Ok, S::Error> {
                    Self::serialize(self, serializer)
                }
            }
        }
    });
    let mut generics = bounded(quote!(::mainstay::__private::serde::Deserialize<'de>));
    generics.params.insert(0, parse_quote!('de));
    let (impl_generics, _, where_clause) = generics.split_for_impl();
    quote! {
        #write

        #[automatically_derived]
        impl #impl_generics ::mainstay::__private::serde::Deserialize<'de> for #name #type_generics #where_clause {
            fn deserialize<D: ::mainstay::__private::serde::Deserializer<'de>>(
                deserializer: D,
            ) -> ::core::result::Result<Self, D::Error> {
                Self::deserialize(::mainstay::web::Object(deserializer))
            }
        }
    }
}

pub(crate) fn expand_view(item: TokenStream) -> Result<TokenStream> {
    let item: DeriveInput = parse2(item)?;
    let mark = type_mark(&item.ident.to_string());
    let case = matches!(item.data, Data::Enum(_)).then(|| quote!(, rename_all = "snake_case"));
    Ok(quote! {
        #[derive(::mainstay::__private::serde::Serialize, ::mainstay::__private::schemars::JsonSchema)]
        #[serde(crate = "::mainstay::__private::serde" #case)]
        #[schemars(crate = "::mainstay::__private::schemars", #mark)]
        #item
    })
}

pub(crate) fn expand_settings(item: TokenStream) -> Result<TokenStream> {
    let item: DeriveInput = parse2(item)?;
    Ok(quote! {
        #[derive(
            ::mainstay::__private::serde::Serialize,
            ::mainstay::__private::serde::Deserialize,
            ::mainstay::__private::schemars::JsonSchema
        )]
        #[serde(crate = "::mainstay::__private::serde", default, deny_unknown_fields)]
        #[schemars(crate = "::mainstay::__private::schemars")]
        #item
    })
}
