//! Compiles the Rust code of the pages in this folder as documentation tests of `api`.

#[doc = include_str!("another-api.md")]
mod another_api {}
#[doc = include_str!("background-job.md")]
mod background_job {}
#[doc = include_str!("enum.md")]
mod r#enum {}
#[doc = include_str!("file-upload.md")]
mod file_upload {}
#[doc = include_str!("full-text-search.md")]
mod full_text_search {}
#[doc = include_str!("listen.md")]
mod listen {}
#[doc = include_str!("many-to-many.md")]
mod many_to_many {}
#[doc = include_str!("raw-sql.md")]
mod raw_sql {}
#[doc = include_str!("second-role.md")]
mod second_role {}
#[doc = include_str!("tests-with-data.md")]
mod tests_with_data {}
#[doc = include_str!("transaction.md")]
mod transaction {}
