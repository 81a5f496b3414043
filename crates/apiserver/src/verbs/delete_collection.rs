//! DELETE of a collection: every selected object, one after the other.

use std::sync::Arc;

use kinds::Kind;
use machinery::{Status, Value};

use super::delete::{admit, delete_object, options};
use super::list::page;
use crate::cache::{Item, Selection};
use crate::call::Call;
use crate::options::{DeleteOptions, ListOptions};
use crate::reply::{Body, Reply};
use crate::respond;
use crate::server::Server;

/// Deletes what the selectors select and answers with the objects as they were.
///
/// # Errors
/// As a list and a deletion; an object that somebody else deleted first is no error.
pub async fn delete_collection(
    server: &Arc<Server>,
    call: &mut Call,
    kind: &'static Kind,
    body: Body,
) -> Result<Reply, Status> {
    let accepted = call.accepts_list()?;
    let chosen = ListOptions::parse(&call.query)?;
    let delete = options(call, body).await?;
    let selection = Selection::parse(kind, &call.info.namespace, &chosen.label_selector, &chosen.field_selector)?;
    let found = page(server, kind, &chosen, &selection).await?;
    for item in &found.items {
        match one(server, call, kind, item, &delete).await {
            Ok(()) => {}
            Err(status) if status.code == 404 => {}
            Err(status) => return Err(status),
        }
    }
    let objects: Vec<Value> = found.items.iter().map(|item| item.value()).collect();
    respond::list(server, call, kind, objects, found.metadata(), accepted)
}

async fn one(
    server: &Server,
    call: &mut Call,
    kind: &'static Kind,
    item: &Item,
    options: &DeleteOptions,
) -> Result<(), Status> {
    admit(server, call, kind, &item.namespace, &item.name, options.dry_run).await?;
    delete_object(server, kind, &item.namespace, &item.name, options).await.map(drop)
}
