#ifndef WAFER_CLINUX_MEMORY_H
#define WAFER_CLINUX_MEMORY_H

// Gives back free heap pages and unmaps the program's code, which comes back page by page as it is used.
void wafer_release_startup_memory(void);

#endif
