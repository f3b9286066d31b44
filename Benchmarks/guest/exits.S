# A guest that does nothing but leave the virtual machine: it reads a port and a register in memory that both machines answer
# in user space, and says how many time-stamp counts each took. Runs without firmware through the PVH entry (Xen,
# docs/misc/pvh.pandoc): 32-bit protected mode, flat segments, paging off.
#
# Serial output, hexadecimal:   EXITS mul=M shift=S count=N   then   EXITS-BATCH port=T mmio=T   several times
# M and S turn counts into nanoseconds as KVM's clock does: (counts << S) * M >> 32, S signed.

    .set SERIAL, 0x3f8
    .set PM_TIMER, 0x608            # ACPI's timer: both machines put it here
    .set ECAM, 0xb0000000           # PCI configuration in memory: both machines put it here; 00:00.0, vendor and device
    .set PM1_CONTROL, 0x604
    .set SLEEP, 0x2000              # SLP_EN with SLP_TYP 0, which is S5 on both
    .set KVM_SYSTEM_TIME, 0x4b564d01
    .set COUNT, 500
    .set BATCHES, 9

    .section .note.pvh, "a", @note
    .long 4, 4, 18                  # XEN_ELFNOTE_PHYS32_ENTRY
    .asciz "Xen"
    .long start

    .text
    .code32
    .globl start
start:
    cli
    mov $stack, %esp
    mov $KVM_SYSTEM_TIME, %ecx
    mov $clock + 1, %eax
    xor %edx, %edx
    wrmsr
    mov $head, %esi
    call print
    mov clock + 24, %eax
    call hexadecimal
    mov $shift, %esi
    call print
    movsbl clock + 28, %eax
    call hexadecimal
    mov $count, %esi
    call print
    mov $COUNT, %eax
    call hexadecimal
    mov $BATCHES, %ebp
batch:
    mov $port, %esi
    call print
    rdtsc
    mov %eax, %edi
    mov $COUNT, %ecx
    mov $PM_TIMER, %dx
1:  in %dx, %eax
    dec %ecx
    jnz 1b
    rdtsc
    sub %edi, %eax
    call hexadecimal
    mov $mmio, %esi
    call print
    rdtsc
    mov %eax, %edi
    mov $COUNT, %ecx
2:  mov ECAM, %eax
    dec %ecx
    jnz 2b
    rdtsc
    sub %edi, %eax
    call hexadecimal
    dec %ebp
    jnz batch
    mov $end, %esi
    call print
    mov $PM1_CONTROL, %dx
    mov $SLEEP, %ax
    out %ax, %dx
3:  hlt
    jmp 3b

# Prints the text at ESI.
print:
    mov $SERIAL, %dx
1:  lodsb
    test %al, %al
    jz 2f
    out %al, %dx
    jmp 1b
2:  ret

# Prints EAX.
hexadecimal:
    mov %eax, %ebx
    mov $8, %ecx
    mov $SERIAL, %dx
1:  rol $4, %ebx
    mov %ebx, %eax
    and $15, %eax
    movb digits(%eax), %al
    out %al, %dx
    dec %ecx
    jnz 1b
    ret

head:   .asciz "\nEXITS mul="
shift:  .asciz " shift="
count:  .asciz " count="
port:   .asciz "\nEXITS-BATCH port="
mmio:   .asciz " mmio="
end:    .asciz "\nEXITS-DONE\n"
digits: .ascii "0123456789abcdef"

    .bss
    .balign 64
clock:  .skip 64
    .skip 4096
stack:
