"""Each experiment tells its story in one read: config in, result out."""
