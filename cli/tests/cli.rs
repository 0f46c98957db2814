//! The program as its users meet it, and the rules of the house it is built in.

#[cfg(test)]
mod cli {
    mod client;
    mod command_line;
    mod dev;
    mod end_to_end;
    mod house;
    mod metrics;
    mod processes;
    mod queries;
    mod refunds;
    mod sources;
    mod tls;
}
