//! A program with the place of everything: tables as their `CREATE TABLE` says, views and inserts as sqlparser's trees.
//!
//! `WATERMARK FOR` and bare generated columns are not sqlparser's, so `CREATE TABLE` is read here from its tokens.

use std::ops::Range;

use datafusion::sql::sqlparser::{
    ast::{DataType, Expr, Ident, ObjectName, Query, Statement, TableObject},
    dialect::GenericDialect,
    keywords::Keyword,
    parser::{Parser, ParserError},
    tokenizer::{Location, Token, TokenWithSpan, Tokenizer},
};

/// A place in the text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct At {
    pub(crate) line: u64,
    pub(crate) column: u64,
}

impl From<Location> for At {
    fn from(at: Location) -> Self {
        Self { line: at.line, column: at.column }
    }
}

impl From<&Ident> for At {
    fn from(ident: &Ident) -> Self {
        ident.span.start.into()
    }
}

/// One `key = value` of a `WITH (…)`.
#[derive(Clone, Debug)]
pub(crate) struct WithOption {
    pub(crate) key: String,
    pub(crate) value: String,
    /// Whether the value is a string; else it is SQL, such as an INTERVAL.
    pub(crate) quoted: bool,
    pub(crate) at: At,
}

/// A column as declared.
#[derive(Debug)]
pub(crate) struct Column {
    pub(crate) name: String,
    pub(crate) at: At,
    pub(crate) data_type: DataType,
    pub(crate) not_null: bool,
    pub(crate) primary_key: Option<At>,
    pub(crate) generated: Option<Expr>,
    /// Other words after the type, such as DEFAULT, which Arroyo does not read.
    pub(crate) unread: Option<(At, String)>,
}

/// `WATERMARK FOR column AS expression`.
#[derive(Debug)]
pub(crate) struct Watermark {
    pub(crate) column: String,
    pub(crate) expr: Option<Expr>,
    pub(crate) at: At,
}

/// A `CREATE TABLE`.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) name: String,
    pub(crate) at: At,
    pub(crate) columns: Vec<Column>,
    pub(crate) watermark: Option<Watermark>,
    pub(crate) options: Vec<WithOption>,
    /// Bytes of the text between the parentheses of `WITH (…)`.
    pub(crate) with: Option<Range<usize>>,
    pub(crate) if_not_exists: Option<At>,
    pub(crate) partitioned: Option<At>,
}

impl Table {
    pub(crate) fn option(&self, key: &str) -> Option<&WithOption> {
        self.options.iter().find(|o| o.key == key)
    }

    pub(crate) fn value(&self, key: &str) -> Option<&str> {
        self.option(key).map(|o| o.value.as_str())
    }

    pub(crate) fn connector(&self) -> &str {
        self.value("connector").unwrap_or("memory")
    }

    pub(crate) fn is_sink(&self) -> bool {
        self.value("type") == Some("sink") || self.connector() == "delta"
    }
}

/// A `CREATE VIEW`.
#[derive(Debug)]
pub(crate) struct View {
    pub(crate) name: String,
    pub(crate) query: Box<Query>,
}

/// An `INSERT INTO`.
#[derive(Debug)]
pub(crate) struct Insert {
    pub(crate) table: String,
    pub(crate) at: At,
    pub(crate) columns: Vec<String>,
    pub(crate) query: Box<Query>,
}

/// A whole program.
#[derive(Debug, Default)]
pub(crate) struct Script {
    pub(crate) tables: Vec<Table>,
    pub(crate) views: Vec<View>,
    pub(crate) inserts: Vec<Insert>,
    /// `$name` outside of a string: where, and which.
    pub(crate) placeholders: Vec<(At, String, Range<usize>)>,
    /// Statements of another kind: where, and their first words.
    pub(crate) others: Vec<(At, String)>,
}

impl Script {
    pub(crate) fn table(&self, name: &str) -> Option<&Table> {
        self.tables.iter().find(|t| t.name == name)
    }
}

/// A text that cannot be read.
#[derive(Debug)]
pub(crate) struct Unread {
    pub(crate) at: At,
    pub(crate) message: String,
}

/// Reads a program.
pub(crate) fn read(sql: &str) -> Result<Script, Unread> {
    let dialect = GenericDialect {};
    let tokens = Tokenizer::new(&dialect, sql).tokenize_with_location();
    let tokens = tokens.map_err(|e| Unread { at: e.location.into(), message: e.message })?;
    let bytes = Bytes::new(sql);
    let mut script = Script::default();
    for token in &tokens {
        if let Token::Placeholder(name) = &token.token {
            let range = bytes.at(token.span.start)..bytes.at(token.span.end);
            script.placeholders.push((token.span.start.into(), name.trim_start_matches('$').into(), range));
        }
    }
    let mut parser = Parser::new(&dialect).with_tokens_with_locations(tokens);
    loop {
        while parser.consume_token(&Token::SemiColon) {}
        let start = parser.peek_token_ref().span.start;
        if parser.peek_token_ref().token == Token::EOF {
            return Ok(script);
        }
        let here = |parser: &Parser<'_>, error: ParserError| Unread {
            at: parser.peek_token_ref().span.start.into(),
            message: match error {
                ParserError::ParserError(m) | ParserError::TokenizerError(m) => m,
                ParserError::RecursionLimitExceeded => "it is nested too deeply".into(),
            },
        };
        if parser.parse_keywords(&[Keyword::CREATE, Keyword::TABLE]) {
            let table = create_table(&mut parser, &bytes).map_err(|e| here(&parser, e))?;
            script.tables.push(table);
        } else {
            let statement = parser.parse_statement().map_err(|e| here(&parser, e))?;
            place(statement, start.into(), &mut script);
        }
        let next = parser.peek_token_ref();
        if !matches!(next.token, Token::SemiColon | Token::EOF) {
            return Err(Unread {
                at: next.span.start.into(),
                message: format!("expected ';', found {}", next.token),
            });
        }
    }
}

fn place(statement: Statement, at: At, into: &mut Script) {
    match statement {
        Statement::CreateView(view) => {
            into.views.push(View { name: folded_name(&view.name), query: view.query });
        }
        Statement::Insert(insert) => match (&insert.table, insert.source) {
            (TableObject::TableName(table), Some(query)) => into.inserts.push(Insert {
                table: folded_name(table),
                at,
                columns: insert.columns.iter().map(folded_name).collect(),
                query,
            }),
            _ => into.others.push((at, "INSERT".into())),
        },
        other => {
            let words = other.to_string().split_whitespace().take(3).collect::<Vec<_>>().join(" ");
            into.others.push((at, words));
        }
    }
}

fn create_table(parser: &mut Parser<'_>, bytes: &Bytes) -> Result<Table, ParserError> {
    let before: At = parser.peek_token_ref().span.start.into();
    let if_not_exists =
        parser.parse_keywords(&[Keyword::IF, Keyword::NOT, Keyword::EXISTS]).then_some(before);
    let at = parser.peek_token_ref().span.start.into();
    let name = folded_name(&parser.parse_object_name(false)?);
    let (mut columns, mut watermark) = (Vec::new(), None);
    if parser.consume_token(&Token::LParen) {
        loop {
            let at = parser.peek_token_ref().span.start.into();
            if word(parser, "watermark") {
                parser.expect_keyword_is(Keyword::FOR)?;
                let column = folded(&parser.parse_identifier()?);
                let expr = parser.parse_keyword(Keyword::AS).then(|| parser.parse_expr()).transpose()?;
                watermark = Some(Watermark { column, expr, at });
            } else {
                columns.push(column(parser)?);
            }
            if !parser.consume_token(&Token::Comma) {
                break;
            }
        }
        parser.expect_token(&Token::RParen)?;
    }
    let (mut options, mut with, mut partitioned) = (Vec::new(), None, None);
    loop {
        let at: At = parser.peek_token_ref().span.start.into();
        if parser.parse_keyword(Keyword::WITH) {
            let opened = parser.peek_token_ref().span.end;
            let closed;
            (options, closed) = with_options(parser)?;
            with = Some(bytes.at(opened)..bytes.at(closed));
        } else if word(parser, "partitioned") || parser.parse_keyword(Keyword::PARTITION) {
            partitioned = Some(at);
            while !matches!(parser.peek_token_ref().token, Token::SemiColon | Token::EOF) && !is_with(parser)
            {
                parser.next_token();
            }
        } else {
            break;
        }
    }
    Ok(Table { name, at, columns, watermark, options, with, if_not_exists, partitioned })
}

fn is_with(parser: &Parser<'_>) -> bool {
    matches!(&parser.peek_token_ref().token, Token::Word(w) if w.keyword == Keyword::WITH)
}

fn column(parser: &mut Parser<'_>) -> Result<Column, ParserError> {
    let ident = parser.parse_identifier()?;
    let data_type = parser.parse_data_type()?;
    let mut column = Column {
        name: folded(&ident),
        at: (&ident).into(),
        data_type,
        not_null: false,
        primary_key: None,
        generated: None,
        unread: None,
    };
    loop {
        let at: At = parser.peek_token_ref().span.start.into();
        if parser.parse_keywords(&[Keyword::NOT, Keyword::NULL]) {
            column.not_null = true;
        } else if parser.parse_keyword(Keyword::NULL) {
        } else if parser.parse_keywords(&[Keyword::PRIMARY, Keyword::KEY]) {
            column.primary_key = Some(at);
        } else if parser.parse_keywords(&[Keyword::GENERATED, Keyword::ALWAYS, Keyword::AS]) {
            parser.expect_token(&Token::LParen)?;
            column.generated = Some(parser.parse_expr()?);
            parser.expect_token(&Token::RParen)?;
            let _ = parser.parse_keyword(Keyword::STORED) || parser.parse_keyword(Keyword::VIRTUAL);
        } else if word(parser, "metadata") {
            parser.expect_keyword_is(Keyword::FROM)?;
            parser.next_token();
        } else if let Token::Word(other) = &parser.peek_token_ref().token {
            column.unread.get_or_insert((at, other.value.to_uppercase()));
            skip_constraint(parser);
        } else {
            return Ok(column);
        }
    }
}

/// Goes on to the end of a column that is not understood: a comma or a closing parenthesis of its own level.
fn skip_constraint(parser: &mut Parser<'_>) {
    let mut depth = 0;
    loop {
        match parser.peek_token_ref().token {
            Token::EOF => return,
            Token::Comma | Token::RParen if depth == 0 => return,
            Token::LParen => depth += 1,
            Token::RParen => depth -= 1,
            _ => {}
        }
        parser.next_token();
    }
}

/// The options, and where the closing parenthesis begins.
fn with_options(parser: &mut Parser<'_>) -> Result<(Vec<WithOption>, Location), ParserError> {
    let mut options = Vec::new();
    parser.expect_token(&Token::LParen)?;
    loop {
        let closed = parser.peek_token_ref().span.start;
        if parser.consume_token(&Token::RParen) {
            return Ok((options, closed));
        }
        let first = parser.next_token();
        let mut key = match first.token {
            Token::SingleQuotedString(key) => key,
            Token::Word(word) => word.value,
            other => return Err(ParserError::ParserError(format!("expected an option, found {other}"))),
        };
        while parser.consume_token(&Token::Period) {
            key = format!("{key}.{}", parser.parse_identifier()?.value);
        }
        parser.expect_token(&Token::Eq)?;
        let (value, quoted) = option_value(parser)?;
        options.push(WithOption { key, value, quoted, at: first.span.start.into() });
        if !parser.consume_token(&Token::Comma) && parser.peek_token_ref().token != Token::RParen {
            return parser.expect_token(&Token::Comma).map(|_| (Vec::new(), closed));
        }
    }
}

/// A string without its quotes, else the SQL of the value as it is written; and which of them it is.
fn option_value(parser: &mut Parser<'_>) -> Result<(String, bool), ParserError> {
    if let Token::SingleQuotedString(text) = &parser.peek_token_ref().token {
        let text = text.clone();
        parser.next_token();
        return Ok((text, true));
    }
    Ok((parser.parse_expr()?.to_string(), false))
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

/// A name as SQL compares it.
pub(crate) fn folded(ident: &Ident) -> String {
    if ident.quote_style.is_some() { ident.value.clone() } else { ident.value.to_lowercase() }
}

/// A qualified name as SQL compares it.
pub(crate) fn folded_name(name: &ObjectName) -> String {
    name.0.iter().filter_map(|p| p.as_ident().map(folded)).collect::<Vec<_>>().join(".")
}

/// The program's tokens without white space and comments: two texts that say the same have the same.
pub(crate) fn normalised(sql: &str) -> Option<String> {
    let tokens = Tokenizer::new(&GenericDialect {}, sql).tokenize_with_location().ok()?;
    let said = |t: &&TokenWithSpan| !matches!(t.token, Token::Whitespace(_) | Token::EOF);
    let words: Vec<_> = tokens.iter().filter(said).map(|t| t.token.to_string()).collect();
    Some(words.join(" ").trim_end_matches([' ', ';']).to_owned())
}

/// Byte positions of the tokenizer's places, which count lines and characters.
struct Bytes<'a> {
    text: &'a str,
    lines: Vec<usize>,
}

impl<'a> Bytes<'a> {
    fn new(text: &'a str) -> Self {
        let lines = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Self { text, lines }
    }

    fn at(&self, location: Location) -> usize {
        let index = |n: u64| usize::try_from(n.saturating_sub(1)).unwrap_or(usize::MAX);
        let Some(&line) = self.lines.get(index(location.line)) else { return self.text.len() };
        let rest = &self.text[line..];
        line + rest.char_indices().nth(index(location.column)).map_or(rest.len(), |(at, _)| at)
    }
}
