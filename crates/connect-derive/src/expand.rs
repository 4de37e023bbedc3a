//! The implementation that a struct of options gets.

use std::collections::HashMap;

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Data, DeriveInput, Fields};

use crate::key::Key;

/// The whole implementation.
pub(crate) fn expand(input: &DeriveInput) -> syn::Result<TokenStream> {
    let named = match &input.data {
        Data::Struct(data) => match &data.fields {
            Fields::Named(fields) => Some(&fields.named),
            _ => None,
        },
        _ => None,
    };
    let wanted = || syn::Error::new_spanned(&input.ident, "ConfigOptions is for structs with named fields");
    let keys = named.ok_or_else(wanted)?.iter().map(Key::of).collect::<syn::Result<Vec<_>>>()?;
    let mut orders: HashMap<Option<String>, i32> = HashMap::new();
    let definitions: Vec<TokenStream> = keys
        .iter()
        .map(|key| {
            let order = orders.entry(key.group.clone()).or_insert(0);
            *order += 1;
            define(key, if key.group.is_some() { *order } else { -1 })
        })
        .collect();
    let reads = keys.iter().map(|key| {
        let (field, name) = (&key.field, &key.name);
        quote! { #field: ::kanat_connect::config::read_option(parsed, #name)? }
    });
    let ident = &input.ident;
    let (generics, arguments, bounds) = input.generics.split_for_impl();
    Ok(quote! {
        impl #generics ::kanat_connect::config::ConfigOptions for #ident #arguments #bounds {
            fn config_def() -> ::kanat_connect::config::ConfigDef {
                let definition = ::kanat_connect::config::ConfigDef::new();
                #(let definition = definition.define(#definitions);)*
                definition
            }

            fn from_parsed(parsed: &::kanat_connect::config::Parsed) -> ::kanat_connect::Result<Self> {
                ::core::result::Result::Ok(Self { #(#reads),* })
            }
        }
    })
}

fn define(key: &Key, order: i32) -> TokenStream {
    let Key { name, documentation, ty, importance, width, dependents, internal, .. } = key;
    let default = match &key.default {
        Some(value) => quote! {
            ::core::option::Option::Some(<#ty as ::kanat_connect::config::OptionType>::into_value(
                ::core::convert::Into::into(#value)
            ))
        },
        None => quote! { <#ty as ::kanat_connect::config::OptionType>::DEFAULT },
    };
    let display = key.display.as_ref().unwrap_or(name);
    let group = optional(key.group.as_ref().map(|group| quote! { ::std::string::ToString::to_string(#group) }));
    let validator = optional(key.validator.as_ref().map(|validator| quote! { #validator }));
    let recommender = optional(key.recommender.as_ref().map(|recommender| quote! { #recommender }));
    quote! {
        ::kanat_connect::config::ConfigKey {
            name: ::std::string::ToString::to_string(#name),
            ty: <#ty as ::kanat_connect::config::OptionType>::TYPE,
            default: #default,
            validator: #validator,
            importance: ::kanat_connect::config::Importance::#importance,
            documentation: ::std::string::ToString::to_string(#documentation),
            group: #group,
            order: #order,
            width: ::kanat_connect::config::Width::#width,
            display_name: ::std::string::ToString::to_string(#display),
            dependents: ::std::vec![#(::std::string::ToString::to_string(#dependents)),*],
            recommender: #recommender,
            internal: #internal,
        }
    }
}

fn optional(tokens: Option<TokenStream>) -> TokenStream {
    match tokens {
        Some(tokens) => quote! { ::core::option::Option::Some(#tokens) },
        None => quote! { ::core::option::Option::None },
    }
}
