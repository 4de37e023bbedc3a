//! `#[derive(ConfigOptions)]`: the keys of a connector's configuration from a struct of its options.
//!
//! A field becomes a key: its name with dots for underscores, its type, its documentation comment. The rest is said in
//! `#[config(…)]`:
//!
//! | argument | meaning |
//! |---|---|
//! | `name = "…"` | another name than the field's |
//! | `default = …` | what stands for a key that is not given; an expression that `Into` turns into the field's type |
//! | `importance = High` | `High`, `Medium` (without it) or `Low` |
//! | `group = "…"` | the heading it stands under; the order under it is that of the fields |
//! | `width = Short` | width of a form's field: `None` (without it), `Short`, `Medium`, `Long` |
//! | `display = "…"` | name for people |
//! | `dependents("…", "…")` | keys whose meaning depends on this one |
//! | `validator = …` | an expression of `Arc<dyn Validator>` |
//! | `recommender = …` | an expression of `Arc<dyn Recommender>` |
//! | `internal` | not shown in reports |
//!
//! A field of type `Option` without a default is null; any other without a default must be given.

mod expand;
mod key;

use proc_macro::TokenStream;

/// Implements `kanat_connect::config::ConfigOptions` for a struct with named fields; see the crate.
#[proc_macro_derive(ConfigOptions, attributes(config))]
pub fn config_options(input: TokenStream) -> TokenStream {
    let input = syn::parse_macro_input!(input as syn::DeriveInput);
    expand::expand(&input).unwrap_or_else(|error| error.to_compile_error()).into()
}
