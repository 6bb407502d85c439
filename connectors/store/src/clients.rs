//! Who gets tokens, and how they prove themselves. The hash of a secret has a
//! table of its own and leaves the store only for the check.

use pipeline::event::{Client, Time};

use super::{
    database::{Line, Value},
    error::StoreError,
    from_word,
    repository::Rows,
    rows::{Entry, Statements, Stored, entry, statements},
    sql,
};

impl Stored for Client {
    const STATEMENTS: Statements = statements!("clients");
    const REFERS: &'static str = "agentId";

    fn values(&self) -> Vec<Value> {
        vec![
            self.role.name().into(),
            (&self.agent_id).into(),
            (&self.name).into(),
            self.enabled.into(),
            self.tokens_from.0.into(),
        ]
    }

    fn read(line: &Line) -> Result<Self, StoreError> {
        Ok(Client {
            role: from_word(line.text(3)?)?,
            agent_id: line.some_text(4)?,
            name: line.some_text(5)?,
            enabled: line.truth(6)?,
            tokens_from: Time(line.number(7)?),
        })
    }
}

/// What a client proves itself with.
pub struct Credentials {
    /// Whose client it is.
    pub tenant_id: String,
    /// The client.
    pub client: Entry<Client>,
    /// The bcrypt hash of its secret.
    pub bcrypt_hash: String,
}

impl Rows<'_, Client> {
    /// The client of an id, whose tenant is not known yet: the one question
    /// that names none. Nothing for a client without a secret.
    pub async fn credentials(&self, client_id: &str) -> Result<Option<Credentials>, StoreError> {
        let lines = self.store.database.rows(sql!("clients_credentials"), &[client_id.into()]).await?;
        let Some(line) = lines.first() else { return Ok(None) };
        let (tenant_id, bcrypt_hash) = (line.text(8)?, line.text(9)?);
        Ok(Some(Credentials { tenant_id, client: entry(line)?, bcrypt_hash }))
    }

    /// Another secret; tokens that were issued before count no more.
    pub async fn rotate_secret(&self, tenant: &str, id: &str, bcrypt_hash: &str) -> Result<Entry<Client>, StoreError> {
        let mut work = self.store.work(tenant).await?;
        let mut client: Entry<Client> = work.get(id).await?;
        client.row.tokens_from = work.now();
        let client = work.replace(id, &client.row).await?;
        work.set_secret(id, bcrypt_hash).await?;
        work.commit().await?;
        Ok(client)
    }
}
