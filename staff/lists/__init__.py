"""The console's lists: pages by key instead of by number, estimated sizes, bounded searches, saved filters, exports."""
