//! Reads a program: Arroyo's `CREATE TABLE … WITH`, views and `INSERT INTO`, variables replaced.
//!
//! sqlparser knows neither `WATERMARK FOR` nor a bare generated column, so `CREATE TABLE` is parsed here from
//! sqlparser's tokens; every other statement is sqlparser's.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use datafusion::sql::sqlparser::ast::{self, Query, Statement, TableObject};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan, Tokenizer};

use crate::{Error, Generated, Location, Result, TableDef, TableKind, Watermark};

/// How long an updating query keeps what is not touched, unless the program says otherwise: a day, as in Arroyo.
const UPDATING_TTL_NS: i64 = 86_400_000_000_000;

/// One `INSERT INTO`.
#[derive(Debug)]
pub(crate) struct Insert {
    pub(crate) table: String,
    /// Names in the order of the query's columns; empty means the table's own order.
    pub(crate) columns: Vec<String>,
    pub(crate) query: Box<Query>,
}

/// What a program says, in order, before planning.
#[derive(Debug)]
pub(crate) struct Parsed {
    pub(crate) tables: Vec<TableDef>,
    pub(crate) views: Vec<(String, Box<Query>)>,
    pub(crate) inserts: Vec<Insert>,
    /// `SET updating_ttl`, in nanoseconds.
    pub(crate) updating_ttl_ns: i64,
    /// The program's tokens before variables were replaced, without white space and comments.
    pub(crate) identity: String,
}

/// Parses a program named `name`.
pub(crate) fn parse(name: &str, sql: &str, variables: &BTreeMap<String, String>) -> Result<Parsed> {
    let dialect = GenericDialect {};
    let fail = |message: String| Error::Parse { program: name.to_owned(), message };
    let tokens = Tokenizer::new(&dialect, sql).tokenize_with_location().map_err(|e| fail(e.to_string()))?;
    let identity = normalised(&tokens);
    let tokens = tokens.into_iter().map(|t| replaced(t, variables)).collect();
    let mut parser = Parser::new(&dialect).with_tokens_with_locations(tokens);
    let mut parsed = Parsed {
        tables: Vec::new(),
        views: Vec::new(),
        inserts: Vec::new(),
        updating_ttl_ns: UPDATING_TTL_NS,
        identity,
    };
    loop {
        while parser.consume_token(&Token::SemiColon) {}
        if parser.peek_token_ref().token == Token::EOF {
            break;
        }
        statement(name, &mut parser, variables, &mut parsed)?;
        let next = parser.peek_token();
        if !matches!(next.token, Token::SemiColon | Token::EOF) {
            return Err(fail(format!("expected ';' but found {} at {}", next.token, next.span.start)));
        }
    }
    finish(name, parsed)
}

fn statement(
    name: &str,
    parser: &mut Parser<'_>,
    variables: &BTreeMap<String, String>,
    into: &mut Parsed,
) -> Result<()> {
    let fail = |e: ParserError| Error::Parse { program: name.to_owned(), message: e.to_string() };
    if parser.parse_keywords(&[Keyword::CREATE, Keyword::TABLE]) {
        let begin = parser.index();
        let mut table = create_table(parser).map_err(fail)?;
        table.identity = format!("{} {}", table.name, span_text(parser, begin));
        for (key, value) in &mut table.options {
            *value = replace(value, variables);
            if let Some(missing) = unreplaced(value) {
                return Err(Error::Invalid(format!(
                    "{name}: table {}: option '{key}' needs ${missing}; pass it with --set {missing}=…",
                    table.name
                )));
            }
        }
        into.tables.push(table);
        return Ok(());
    }
    if parser.parse_keyword(Keyword::SET) {
        into.updating_ttl_ns = setting(name, parser)?;
        return Ok(());
    }
    let at = Location::of(parser.peek_token_ref().span);
    match parser.parse_statement().map_err(fail)? {
        Statement::CreateView(view) => {
            into.views.push((folded_name(&view.name), view.query));
            Ok(())
        }
        Statement::Insert(insert) => {
            let (TableObject::TableName(table), Some(query)) = (&insert.table, insert.source) else {
                return Err(unsupported(name, at, "this form of INSERT", "write INSERT INTO table SELECT …"));
            };
            let columns = insert.columns.iter().map(folded_name).collect();
            into.inserts.push(Insert { table: folded_name(table), columns, query });
            Ok(())
        }
        Statement::Query(_) => Err(unsupported(
            name,
            at,
            "a SELECT that goes nowhere",
            "write INSERT INTO a sink table before it",
        )),
        other => {
            let text = other.to_string();
            let head = text.split_whitespace().take(3).collect::<Vec<_>>().join(" ");
            Err(unsupported(
                name,
                at,
                &format!("'{head} …'"),
                "a program holds CREATE TABLE, CREATE VIEW, SET updating_ttl and INSERT INTO",
            ))
        }
    }
}

/// `SET updating_ttl = INTERVAL '…'`, after the word SET; gives nanoseconds.
fn setting(name: &str, parser: &mut Parser<'_>) -> Result<i64> {
    let at = Location::of(parser.peek_token_ref().span);
    if !word(parser, "updating_ttl") {
        let what = format!("SET {}", parser.peek_token_ref().token);
        return Err(unsupported(name, at, &what, "the one setting is SET updating_ttl = INTERVAL '1 day'"));
    }
    let fail = |e: ParserError| Error::Parse { program: name.to_owned(), message: e.to_string() };
    parser.expect_token(&Token::Eq).map_err(fail)?;
    let at = Location::of(parser.peek_token_ref().span);
    let value = parser.parse_expr().map_err(fail)?;
    crate::functions::sql_interval_ns(&value).map_err(|e| {
        unsupported(name, at, &format!("updating_ttl: {e}; another value"), "write INTERVAL '1 day'")
    })
}

fn finish(name: &str, mut parsed: Parsed) -> Result<Parsed> {
    for insert in &parsed.inserts {
        let Some(table) = parsed.tables.iter_mut().find(|t| t.name == insert.table) else {
            return Err(Error::NotFound(format!(
                "{name}: INSERT INTO {} names no table of this program; add its CREATE TABLE",
                insert.table
            )));
        };
        if table.options.get("type").is_some_and(|t| t == "source") {
            return Err(Error::Invalid(format!("{name}: table {} is of type 'source'", insert.table)));
        }
        table.kind = TableKind::Sink;
    }
    if parsed.inserts.is_empty() {
        return Err(unsupported(name, None, "nothing is written", "add INSERT INTO a sink table"));
    }
    Ok(parsed)
}

fn create_table(parser: &mut Parser<'_>) -> Result<TableDef, ParserError> {
    let _ = parser.parse_keywords(&[Keyword::IF, Keyword::NOT, Keyword::EXISTS]);
    let name = folded_name(&parser.parse_object_name(false)?);
    let (mut physical, mut all) = (Vec::new(), Vec::new());
    let (mut generated, mut watermark) = (Vec::new(), None);
    parser.expect_token(&Token::LParen)?;
    loop {
        if word(parser, "watermark") {
            parser.expect_keyword_is(Keyword::FOR)?;
            let column = folded(&parser.parse_identifier()?);
            let expr = parser.parse_keyword(Keyword::AS).then(|| parser.parse_expr()).transpose()?;
            watermark = Some(Watermark { column, expr: expr.map(|e| e.to_string()) });
        } else {
            let (field, expr) = column(parser)?;
            match expr {
                Some(expr) => generated.push(Generated { name: field.name().clone(), expr }),
                None => physical.push(field.clone()),
            }
            all.push(field);
        }
        if !parser.consume_token(&Token::Comma) {
            break;
        }
    }
    parser.expect_token(&Token::RParen)?;
    let options = if parser.parse_keyword(Keyword::WITH) { table_options(parser)? } else { BTreeMap::new() };
    let known = |name: &str| all.iter().any(|f: &Field| f.name() == name);
    if let Some(w) = watermark.as_ref().filter(|w: &&Watermark| !known(&w.column)) {
        return Err(ParserError::ParserError(format!(
            "WATERMARK FOR {}: table {name} has no such column",
            w.column
        )));
    }
    let kind =
        if options.get("type").is_some_and(|t| t == "sink") { TableKind::Sink } else { TableKind::Source };
    Ok(TableDef {
        name,
        kind,
        physical: Arc::new(Schema::new(physical)),
        schema: Arc::new(Schema::new(all)),
        generated,
        options,
        watermark,
        identity: String::new(),
    })
}

fn column(parser: &mut Parser<'_>) -> Result<(Field, Option<String>), ParserError> {
    let name = folded(&parser.parse_identifier()?);
    let data_type = arrow_type(&parser.parse_data_type()?)?;
    let (mut nullable, mut expr) = (true, None);
    loop {
        if parser.parse_keywords(&[Keyword::NOT, Keyword::NULL])
            || parser.parse_keywords(&[Keyword::PRIMARY, Keyword::KEY])
        {
            nullable = false;
        } else if parser.parse_keyword(Keyword::NULL) {
            nullable = true;
        } else if parser.parse_keywords(&[Keyword::GENERATED, Keyword::ALWAYS, Keyword::AS]) {
            parser.expect_token(&Token::LParen)?;
            expr = Some(parser.parse_expr()?.to_string());
            parser.expect_token(&Token::RParen)?;
            let _ = parser.parse_keyword(Keyword::STORED) || parser.parse_keyword(Keyword::VIRTUAL);
        } else {
            break;
        }
    }
    if word(parser, "metadata") {
        return Err(ParserError::ParserError(format!(
            "column {name}: METADATA FROM is not supported; carry the value as a column of the row"
        )));
    }
    Ok((Field::new(name, data_type, nullable), expr))
}

fn table_options(parser: &mut Parser<'_>) -> Result<BTreeMap<String, String>, ParserError> {
    let mut options = BTreeMap::new();
    parser.expect_token(&Token::LParen)?;
    while !parser.consume_token(&Token::RParen) {
        let key = match parser.next_token().token {
            Token::SingleQuotedString(key) => key,
            Token::Word(first) => {
                let mut key = first.value;
                while parser.consume_token(&Token::Period) {
                    key = format!("{key}.{}", parser.parse_identifier()?.value);
                }
                key
            }
            other => return Err(ParserError::ParserError(format!("expected an option but found {other}"))),
        };
        parser.expect_token(&Token::Eq)?;
        let value = match parser.next_token().token {
            Token::SingleQuotedString(value) => value,
            Token::Number(value, _) => value,
            Token::Word(value) => value.value,
            other => {
                return Err(ParserError::ParserError(format!(
                    "option {key}: expected a value, found {other}"
                )));
            }
        };
        options.insert(key, value);
        if !parser.consume_token(&Token::Comma) {
            parser.expect_token(&Token::RParen)?;
            break;
        }
    }
    Ok(options)
}

/// The Arrow type of an SQL type; `TIMESTAMP` is in nanoseconds, as Arroyo has it.
fn arrow_type(sql: &ast::DataType) -> Result<DataType, ParserError> {
    use ast::DataType as Sql;
    Ok(match sql {
        Sql::Text
        | Sql::String(_)
        | Sql::Varchar(_)
        | Sql::CharacterVarying(_)
        | Sql::Char(_)
        | Sql::JSON => DataType::Utf8,
        Sql::BigInt(_) | Sql::Int8(_) | Sql::Int64 => DataType::Int64,
        Sql::Int(_) | Sql::Integer(_) | Sql::Int4(_) | Sql::Int32 => DataType::Int32,
        Sql::SmallInt(_) | Sql::Int2(_) | Sql::Int16 => DataType::Int16,
        Sql::BigIntUnsigned(_) | Sql::UInt64 => DataType::UInt64,
        Sql::Double(_) | Sql::DoublePrecision | Sql::Float8 | Sql::Float64 => DataType::Float64,
        Sql::Float(_) | Sql::Real | Sql::Float4 | Sql::Float32 => DataType::Float32,
        Sql::Boolean | Sql::Bool => DataType::Boolean,
        Sql::Date => DataType::Date32,
        Sql::Bytea | Sql::Bytes(_) | Sql::Blob(_) => DataType::Binary,
        Sql::Timestamp(precision, ast::TimezoneInfo::None | ast::TimezoneInfo::WithoutTimeZone)
        | Sql::Datetime(precision) => {
            let unit = match precision {
                None | Some(9) => TimeUnit::Nanosecond,
                Some(6) => TimeUnit::Microsecond,
                Some(3) => TimeUnit::Millisecond,
                Some(0) => TimeUnit::Second,
                Some(other) => {
                    return Err(ParserError::ParserError(format!(
                        "TIMESTAMP({other}) is not supported; write TIMESTAMP(6)"
                    )));
                }
            };
            DataType::Timestamp(unit, None)
        }
        Sql::Array(
            ast::ArrayElemTypeDef::SquareBracket(item, _) | ast::ArrayElemTypeDef::AngleBracket(item),
        ) => DataType::List(Arc::new(Field::new("item", arrow_type(item)?, true))),
        other => {
            return Err(ParserError::ParserError(format!(
                "type {other} is not supported; use TEXT, BIGINT, DOUBLE, BOOLEAN, DATE, TIMESTAMP or BYTEA \
                 (times are UTC, without a zone)"
            )));
        }
    })
}

/// Takes the next word if it is `text` in any case.
fn word(parser: &mut Parser<'_>, text: &str) -> bool {
    let is = matches!(&parser.peek_token_ref().token,
        Token::Word(w) if w.quote_style.is_none() && w.value.eq_ignore_ascii_case(text));
    if is {
        parser.next_token();
    }
    is
}

pub(crate) fn folded(ident: &ast::Ident) -> String {
    if ident.quote_style.is_some() { ident.value.clone() } else { ident.value.to_lowercase() }
}

fn folded_name(name: &ast::ObjectName) -> String {
    name.0.iter().filter_map(|p| p.as_ident().map(folded)).collect::<Vec<_>>().join(".")
}

fn normalised(tokens: &[TokenWithSpan]) -> String {
    let mut text = String::new();
    for token in tokens {
        if !matches!(token.token, Token::Whitespace(_)) {
            text.push_str(&token.token.to_string());
            text.push(' ');
        }
    }
    text.truncate(text.trim_end_matches([' ', ';']).len());
    text
}

fn span_text(parser: &Parser<'_>, begin: usize) -> String {
    let tokens: Vec<_> = (begin..parser.index()).map(|i| parser.token_at(i).clone()).collect();
    normalised(&tokens)
}

fn replaced(mut token: TokenWithSpan, variables: &BTreeMap<String, String>) -> TokenWithSpan {
    if let Token::Placeholder(name) = &token.token
        && let Some(value) = name.strip_prefix('$').and_then(|n| variables.get(n))
    {
        token.token = match value.parse::<f64>() {
            Ok(_) => Token::Number(value.clone(), false),
            Err(_) => Token::SingleQuotedString(value.clone()),
        };
    }
    token
}

/// Replaces each `$name` that is known.
fn replace(text: &str, variables: &BTreeMap<String, String>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        let (before, after) = rest.split_at(at);
        out.push_str(before);
        let name = variable(&after[1..]);
        match variables.get(name) {
            Some(value) if !name.is_empty() => out.push_str(value),
            _ => out.push_str(&after[..=name.len()]),
        }
        rest = &after[1 + name.len()..];
    }
    out.push_str(rest);
    out
}

fn unreplaced(text: &str) -> Option<&str> {
    text.match_indices('$').map(|(at, _)| variable(&text[at + 1..])).find(|name| !name.is_empty())
}

fn variable(text: &str) -> &str {
    let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(text.len());
    &text[..end]
}

fn unsupported(program: &str, at: Option<Location>, reason: &str, instead: &str) -> Error {
    Error::Unsupported {
        program: program.to_owned(),
        at,
        reason: format!("{reason} is not supported"),
        instead: instead.to_owned(),
    }
}

#[cfg(test)]
mod tests;
