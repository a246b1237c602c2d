//! Places in lists. A list's cursor is opaque; a place in something that grows is its sequence.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use helmr_api::error::Code;
use helmr_api::http::page::Page;

use crate::ApiError;

const USUAL: u32 = 50;
const MOST: u32 = 200;

/// How many items a list gives.
///
/// # Errors
/// `invalid_query` for zero and for more than 200.
pub(crate) fn limit(asked: Option<u32>) -> Result<u32, ApiError> {
    match asked {
        None => Ok(USUAL),
        Some(limit) if (1..=MOST).contains(&limit) => Ok(limit),
        Some(_) => Err(ApiError::new(
            Code::InvalidQuery,
            format!("`limit` must be between 1 and {MOST}"),
        )),
    }
}

/// Reads the sequence after which to go on; absent: from the beginning.
///
/// # Errors
/// `invalid_cursor`.
pub(crate) fn sequence(cursor: Option<&str>) -> Result<u64, ApiError> {
    cursor.map_or(Ok(0), |text| text.parse().map_err(|_| invalid()))
}

/// Makes the place after the item that `key` names opaque.
pub(crate) fn opaque(key: &str) -> String {
    URL_SAFE_NO_PAD.encode(key)
}

/// Reads an opaque place.
///
/// # Errors
/// `invalid_cursor`.
pub(crate) fn read<T: std::str::FromStr>(cursor: Option<&str>) -> Result<Option<T>, ApiError> {
    let Some(cursor) = cursor else {
        return Ok(None);
    };
    let bytes = URL_SAFE_NO_PAD.decode(cursor).map_err(|_| invalid())?;
    let text = String::from_utf8(bytes).map_err(|_| invalid())?;
    text.parse().map(Some).map_err(|_| invalid())
}

fn invalid() -> ApiError {
    ApiError::new(
        Code::InvalidCursor,
        "`cursor` is not one that this list has given",
    )
}

/// Writes a page of the store's as it goes out.
pub(crate) fn page<Row, Cursor: ToString, Item>(
    page: helmr_store::Page<Row, Cursor>,
    view: impl Fn(&Row) -> Item,
) -> Page<Item> {
    Page {
        items: page.items.iter().map(view).collect(),
        next_cursor: page.next.map(|next| opaque(&next.to_string())),
    }
}
