//! Images: EROFS roots by digest, and the names that point to them.

use helmr_domain::{ImageId, Moment, OrganizationId, Timestamp};
use serde_json::Value;

use crate::db::{Row, Tx, params, sql};
use crate::runs::after_all;
use crate::{Error, Page, Result, Store};

#[derive(Debug, Clone, PartialEq)]
pub struct Image {
    pub id: ImageId,
    pub organization: OrganizationId,
    /// The names that point to it now.
    pub names: Vec<String>,
    /// `sha256:…` of the EROFS file.
    pub digest: String,
    /// Where its bytes are: a blob under the installation's key.
    pub manifest: String,
    pub size_bytes: u64,
    /// Environment, working directory and user, as the importer found them.
    pub config: Value,
    pub created_at: Timestamp,
}

#[derive(Debug, Clone)]
pub struct Put {
    pub at: Moment,
    pub organization: OrganizationId,
    pub name: String,
    pub digest: String,
    pub manifest: String,
    pub size_bytes: u64,
    pub config: Value,
}

macro_rules! select {
    () => {
        "SELECT i.id, i.organization_id, i.digest, i.manifest, i.size_bytes, i.config, i.created_at
        FROM images i
        "
    };
}

sql! {
    FIND_BY_DIGEST = concat!(select!(), "WHERE i.organization_id = $1 AND i.digest = $2");

    FIND_BY_NAME = concat!(select!(), "JOIN image_names n ON n.image_id = i.id
        WHERE n.organization_id = $1 AND n.name = $2");

    LIST = concat!(select!(), "WHERE i.organization_id = $1 AND i.id < $2
        ORDER BY i.id DESC
        LIMIT $3");

    /// The names of all images of an organization.
    NAMES = "SELECT image_id, name
        FROM image_names
        WHERE organization_id = $1
        ORDER BY name";

    INSERT = "INSERT INTO images (
            id, organization_id, digest, manifest, size_bytes, config, created_at
        )
        VALUES ($1, $2, $3, $4, $5, $6, $7)
        ON CONFLICT (organization_id, digest) DO NOTHING";

    NAME = "INSERT INTO image_names (organization_id, name, image_id, updated_at)
        VALUES ($1, $2, $3, $4)
        ON CONFLICT (organization_id, name) DO UPDATE
            SET image_id = excluded.image_id, updated_at = excluded.updated_at";
}

fn read(mut row: Row) -> Result<Image> {
    Ok(Image {
        id: row.take("id")?,
        organization: row.take("organization_id")?,
        names: Vec::new(),
        digest: row.take("digest")?,
        manifest: row.take("manifest")?,
        size_bytes: row.take("size_bytes")?,
        config: row.take("config")?,
        created_at: row.take("created_at")?,
    })
}

async fn add_names(tx: &mut Tx, organization: OrganizationId, images: &mut [Image]) -> Result<()> {
    if images.is_empty() {
        return Ok(());
    }
    for mut row in tx.rows(&NAMES, params![organization]).await? {
        let id: ImageId = row.take("image_id")?;
        let name = row.take("name")?;
        if let Some(image) = images.iter_mut().find(|image| image.id == id) {
            image.names.push(name);
        }
    }
    Ok(())
}

async fn with_names(
    tx: &mut Tx,
    organization: OrganizationId,
    found: Option<Row>,
) -> Result<Option<Image>> {
    let mut images: Vec<Image> = found.map(read).transpose()?.into_iter().collect();
    add_names(tx, organization, &mut images).await?;
    Ok(images.pop())
}

/// Keeps an image and lets `name` point to it. The same digest again is the same image.
///
/// # Errors
/// If the database fails.
pub async fn put(store: &Store, input: Put) -> Result<Image> {
    store
        .write(input, |tx, input| Box::pin(put_in(tx, input)))
        .await
}

async fn put_in(tx: &mut Tx, input: &Put) -> Result<Image> {
    let bound = params![
        input.at.ids().make(ImageId::new),
        input.organization,
        input.digest,
        input.manifest,
        input.size_bytes,
        input.config,
        input.at.now
    ];
    tx.run(&INSERT, bound).await?;
    let bound = params![input.organization, input.digest];
    let found = tx.find(&FIND_BY_DIGEST, bound).await?;
    let image = found
        .map(read)
        .transpose()?
        .ok_or(Error::NotFound("image"))?;
    let bound = params![input.organization, input.name, image.id, input.at.now];
    tx.run(&NAME, bound).await?;
    let mut images = [image];
    add_names(tx, input.organization, &mut images).await?;
    let [image] = images;
    Ok(image)
}

/// # Errors
/// If the database fails.
pub async fn find_by_name(
    store: &Store,
    organization: OrganizationId,
    name: &str,
) -> Result<Option<Image>> {
    store
        .read(
            (organization, name.to_owned()),
            |tx, (organization, name)| {
                Box::pin(async move {
                    let found = tx.find(&FIND_BY_NAME, params![*organization, name]).await?;
                    with_names(tx, *organization, found).await
                })
            },
        )
        .await
}

/// # Errors
/// If the database fails.
pub async fn find_by_digest(
    store: &Store,
    organization: OrganizationId,
    digest: &str,
) -> Result<Option<Image>> {
    store
        .read(
            (organization, digest.to_owned()),
            |tx, (organization, digest)| {
                Box::pin(async move {
                    let bound = params![*organization, digest];
                    let found = tx.find(&FIND_BY_DIGEST, bound).await?;
                    with_names(tx, *organization, found).await
                })
            },
        )
        .await
}

/// Lists images, newest first.
///
/// # Errors
/// If the database fails.
pub async fn list(
    store: &Store,
    organization: OrganizationId,
    before: Option<ImageId>,
    limit: u32,
) -> Result<Page<Image, ImageId>> {
    store
        .read((organization, before, limit), |tx, input| {
            let (organization, before, limit) = *input;
            Box::pin(async move {
                let before = before.map_or_else(after_all, |id| id.to_string());
                let bound = params![organization, before, u64::from(limit) + 1];
                let found = tx.rows(&LIST, bound).await?;
                let mut images = found.into_iter().map(read).collect::<Result<Vec<_>>>()?;
                add_names(tx, organization, &mut images).await?;
                Ok(Page::cut(images, limit, |image| image.id))
            })
        })
        .await
}
