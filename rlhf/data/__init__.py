"""Where prompts, demonstrations and preferences come from, and how they become batches."""
