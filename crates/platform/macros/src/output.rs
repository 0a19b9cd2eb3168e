//! A type of output.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Expr, Field, ItemStruct, Path, parse_quote};

use crate::rules::Kind;

pub(crate) fn expand(row: &Path, item: &ItemStruct) -> syn::Result<TokenStream> {
    let mut item = item.clone();
    let name = item.ident.clone();
    let mut fields = Vec::new();
    for field in &mut item.fields {
        let value = take_value(field)?;
        let kind = Kind::of(&field.ty);
        let described = kind.described().map(|value| match kind.is_optional {
            true => parse_quote!(#[schema(value_type = Option<#value>)]),
            false => parse_quote!(#[schema(value_type = #value)]),
        });
        let name = &field.ident;
        fields.push(match (value, kind.is_optional) {
            (Some(value), _) => quote!(#name: #value),
            (None, false) => quote!(#name: row.#name.into()),
            (None, true) => quote!(#name: row.#name.map(::core::convert::Into::into)),
        });
        field.attrs.extend(described);
    }
    Ok(quote! {
        #[derive(Debug, ::serde::Serialize, ::utoipa::ToSchema)]
        #item

        impl ::core::convert::From<#row> for #name {
            fn from(row: #row) -> Self {
                Self { #(#fields,)* }
            }
        }
    })
}

/// Removes `#[output(value)]` and returns the value.
fn take_value(field: &mut Field) -> syn::Result<Option<Expr>> {
    let is_ours = |attribute: &syn::Attribute| attribute.path().is_ident("output");
    let value = field.attrs.iter().find(|attribute| is_ours(attribute));
    let value = value.map(|attribute| attribute.parse_args()).transpose()?;
    field.attrs.retain(|attribute| !is_ours(attribute));
    Ok(value)
}
