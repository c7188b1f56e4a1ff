/* What a copy has in place of descriptors that it shares with its template. */
#ifndef GLASSHOUSE_TEMPLATE_DESCRIPTORS_H
#define GLASSHOUSE_TEMPLATE_DESCRIPTORS_H

/* To be called before the process opens or closes anything. */
void descriptors_remember(void);

/*
 * In a copy: puts `replacements[i]` wherever the file is open that was inherited at `originals[i]`, whatever number it
 * has now, and counters of its own in place of eventfd(2) counters. -1 with errno; ENOTSUP for a descriptor of a kind
 * that cannot be had twice.
 */
int descriptors_replace(const int *originals, const int *replacements, int count);

#endif
