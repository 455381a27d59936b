-- Entry by entry, a document took ten times as long. What is gathered is read by every search, so it is little.
ALTER INDEX search_documents_by_token SET (fastupdate = on, gin_pending_list_limit = 1024);
