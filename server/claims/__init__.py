"""Claims on this node: kept, judged again when their material changes, worked on by people, and told of."""
