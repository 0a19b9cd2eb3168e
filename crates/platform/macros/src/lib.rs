#![doc = include_str!("../README.md")]
#![warn(missing_docs)]

mod input;
mod output;
mod routes;
mod rules;

use proc_macro::TokenStream;
use syn::parse_macro_input;

/// Makes a struct a type of input: read from JSON, checked by its rules, described by them, and written to a row.
///
/// `#[input(conversation, change = UpdateConversation)]` names the module of the entity and the type for changes; both
/// may be absent. The struct derives `Clone`, `Debug`, `Deserialize`, garde's `Validate` and utoipa's `ToSchema`, refuses
/// unknown fields, and becomes an active model with `into_active_model()`. A text may not contain the character NUL, which
/// PostgreSQL cannot store.
///
/// A field's rules are garde's: `length`, `range`, `pattern`, `email`, `url`, and `custom` with a rule of `berth_service`.
/// The document shows them. Rules of a field that is an `Option` are about its value. `#[references("/customers")]` says
/// in which list, below the API's prefix, the row is whose id the field has.
///
/// The type for changes has the same fields, each absent or present; one that is an `Option` already may also be null.
#[proc_macro_attribute]
pub fn input(arguments: TokenStream, item: TokenStream) -> TokenStream {
    let arguments = parse_macro_input!(arguments as input::Arguments);
    let item = parse_macro_input!(item as syn::ItemStruct);
    input::expand(&arguments, &item)
        .unwrap_or_else(|error| error.to_compile_error())
        .into()
}

/// Makes a struct a type of output: written as JSON, described, and made from a row.
///
/// `#[output(conversation::Model)]` names the row. Each field is the row's field of the same name; a field with
/// `#[output(true)]` has that value instead. A column that the struct does not name is shown to no client.
#[proc_macro_attribute]
pub fn output(row: TokenStream, item: TokenStream) -> TokenStream {
    let row = parse_macro_input!(row as syn::Path);
    let item = parse_macro_input!(item as syn::ItemStruct);
    output::expand(&row, &item)
        .unwrap_or_else(|error| error.to_compile_error())
        .into()
}

/// Returns the `Routes` of handlers that have an attribute `utoipa::path`: `routes!("tags", "Your tags", [list, create])`.
///
/// The first two are the tag of the operations in the document, and its description. Method and address come from the
/// attribute, so that they stand once. Handlers of one address are tried in this order.
#[proc_macro]
pub fn routes(input: TokenStream) -> TokenStream {
    let routes = parse_macro_input!(input as routes::Routes);
    routes.expand().into()
}
