// What went wrong, by an answer that is no success: its own sentence, or its status.

export async function problem(reply) {
  try {
    const { detail, title } = await reply.json();
    return detail || title;
  } catch {
    return `${reply.status} ${reply.statusText}`;
  }
}
