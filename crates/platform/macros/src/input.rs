//! A type of input, and the type for changes that follows from it.

use proc_macro2::TokenStream;
use quote::{ToTokens, quote};
use syn::parse::{Parse, ParseStream};
use syn::{Attribute, Field, Ident, ItemStruct, Path, Token};

use crate::rules::{Kind, Rules, is_own};

/// `conversation, change = UpdateConversation`.
pub(crate) struct Arguments {
    entity: Option<Path>,
    change: Option<Ident>,
}

impl Parse for Arguments {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let mut arguments = Self {
            entity: None,
            change: None,
        };
        while !input.is_empty() {
            let path: Path = input.parse()?;
            if path.is_ident("change") {
                input.parse::<Token![=]>()?;
                arguments.change = Some(input.parse()?);
            } else if arguments.entity.replace(path).is_some() {
                return Err(input.error("one entity and `change = Type`"));
            }
            input.parse::<Option<Token![,]>>()?;
        }
        Ok(arguments)
    }
}

pub(crate) fn expand(arguments: &Arguments, item: &ItemStruct) -> syn::Result<TokenStream> {
    let fields: Vec<Input> = item.fields.iter().map(Input::of).collect::<syn::Result<_>>()?;
    let new = create(item, &fields);
    let change = arguments.change.as_ref().map(|name| change(name, item, &fields));
    let rows = arguments.entity.as_ref().map(|entity| {
        let new = into_row(&item.ident, entity, fields.iter().map(Input::value));
        let change = arguments.change.as_ref();
        let change = change.map(|name| into_row(name, entity, fields.iter().map(Input::changed_value)));
        quote!(#new #change)
    });
    Ok(quote!(#new #change #rows))
}

/// One field with its rules.
struct Input<'f> {
    field: &'f Field,
    kind: Kind<'f>,
    rules: Rules,
}

impl<'f> Input<'f> {
    fn of(field: &'f Field) -> syn::Result<Self> {
        let kind = Kind::of(&field.ty);
        let rules = Rules::of(&field.attrs, &kind)?;
        Ok(Self { field, kind, rules })
    }

    fn new_field(&self) -> TokenStream {
        let Field { vis, ident, ty, .. } = self.field;
        let kept = self.field.attrs.iter().filter(|one| !is_own(one));
        let garde = self.rules.garde(usize::from(self.kind.is_optional));
        let described = self.kind.described().map(|value| match self.kind.is_optional {
            true => quote!(value_type = Option<#value>),
            false => quote!(value_type = #value),
        });
        let schema = self.rules.schema(described.as_slice());
        quote!(#(#kept)* #garde #schema #vis #ident: #ty)
    }

    fn changed_field(&self) -> TokenStream {
        let Field { vis, ident, ty, .. } = self.field;
        let kept = self.field.attrs.iter().filter(|one| !is_default(one));
        let kept = kept.filter(|one| !is_own(one));
        let garde = self.rules.garde(1 + usize::from(self.kind.is_optional));
        let value = self
            .kind
            .described()
            .unwrap_or_else(|| self.kind.value.to_token_stream());
        let described = quote!(value_type = Option<#value>);
        if self.kind.is_optional {
            let schema = self.rules.schema(&[described]);
            return quote! {
                #(#kept)* #garde #schema
                #[serde(default, deserialize_with = "::berth_service::nullable")]
                #vis #ident: Option<#ty>
            };
        }
        let schema = self.rules.schema(&[described, quote!(nullable = false)]);
        quote!(#(#kept)* #garde #schema #vis #ident: Option<#ty>)
    }

    /// The column's value from a new row's field.
    fn value(&self) -> TokenStream {
        let name = &self.field.ident;
        let value = self.column_value(&quote!(self.#name));
        quote!(#name: ::sea_orm::ActiveValue::Set(#value))
    }

    /// The column's value from a change's field, where it is present.
    fn changed_value(&self) -> TokenStream {
        let name = &self.field.ident;
        let value = self.column_value(&quote!(value));
        quote! {
            #name: match self.#name {
                Some(value) => ::sea_orm::ActiveValue::Set(#value),
                None => ::sea_orm::ActiveValue::NotSet,
            }
        }
    }

    fn column_value(&self, field: &TokenStream) -> TokenStream {
        match self.kind.is_optional {
            true => quote!(#field.map(::core::convert::Into::into)),
            false => quote!(#field.into()),
        }
    }
}

fn create(item: &ItemStruct, fields: &[Input<'_>]) -> TokenStream {
    let ItemStruct {
        attrs, vis, ident, ..
    } = item;
    let fields = fields.iter().map(Input::new_field);
    quote! {
        #(#attrs)*
        #[derive(Clone, Debug, ::serde::Deserialize, ::garde::Validate, ::utoipa::ToSchema)]
        #[serde(deny_unknown_fields)]
        #[allow(missing_docs, reason = "a field whose name says it all needs no words")]
        #vis struct #ident { #(#fields,)* }
    }
}

fn change(name: &Ident, item: &ItemStruct, fields: &[Input<'_>]) -> TokenStream {
    let vis = &item.vis;
    let fields = fields.iter().map(Input::changed_field);
    quote! {
        /// The fields to change, at least one; absent ones stay as they are.
        #[derive(Clone, Debug, Default, ::serde::Deserialize, ::garde::Validate, ::utoipa::ToSchema)]
        #[serde(deny_unknown_fields)]
        #[schema(min_properties = 1)]
        #[allow(missing_docs, reason = "a field whose name says it all needs no words")]
        #vis struct #name { #(#fields,)* }
    }
}

fn into_row(name: &Ident, entity: &Path, values: impl Iterator<Item = TokenStream>) -> TokenStream {
    quote! {
        impl ::sea_orm::IntoActiveModel<#entity::ActiveModel> for #name {
            fn into_active_model(self) -> #entity::ActiveModel {
                #entity::ActiveModel {
                    #(#values,)*
                    ..::core::default::Default::default()
                }
            }
        }
    }
}

/// Whether an attribute is `serde(default)`, which a field that may be absent anyway does not need.
fn is_default(attribute: &Attribute) -> bool {
    attribute.path().is_ident("serde")
        && attribute
            .parse_args::<Path>()
            .is_ok_and(|path| path.is_ident("default"))
}
