//! What gateways have paid out, against our books: files, their lines, and what people do about them.

mod act;
mod days;
mod import;
mod show;
mod upload;

pub(crate) use act::{__path_act_on_line, act_on_line};
pub(crate) use days::{__path_close_day, __path_show_day, close_day, show_day};
pub(crate) use import::{__path_import, import};
pub(crate) use show::{__path_show, show};
